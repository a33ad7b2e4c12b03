// The answers: maps on the picture, the layer scrubber, and everything that changes the view.
const store = window.vifStore;
const maps = window.vifMaps;
const canvas = window.vifCanvas;
const STEP_MS = 600;
const TELL_MS = 250;
// Of the components; all of them are on the tab of components.
const MOST_RINGS = 4;
let playing = null;
let asked = new Set();
let telling = null;
let isOpening = true;

const find = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
// HTML and numbers arrive together, but are not drawn before both are here.
const isReady = () => store.result && find('.vl-result')?.dataset.id === String(store.result.id);

function receive() {
  const data = props.data;
  if (data && data.id !== store.result?.id) {
    stop();
    asked = new Set();
    store.show(data, props.view || {});
    // The server knows the view that the page opens with, but not that of a later result.
    if (!isOpening) tell();
  }
  isOpening = false;
  if (!data && store.result) store.clear();
  draw();
}

function receiveSlices() {
  if (props.slices) store.addSlices(props.slices);
}

// A large model's numbers are fetched when they are looked at, once.
function fetchSlice(view) {
  const key = `${view.token}/${view.head}`;
  if (asked.has(key)) return;
  asked.add(key);
  trigger('submit', {token: view.token, head: view.head});
}

function draw() {
  if (!isReady()) return;
  const {result, view} = store;
  element.classList.toggle('vl-is-stale', store.isStale());
  const thumb = find('.vl-asked img');
  if (thumb.getAttribute('src') !== result.picture) thumb.src = result.picture;
  controls(result, view);
  find('.vl-stands').textContent = store.words;
  const picture = canvas.pictureOf(result.picture, draw);
  const found = result.answers.map((answer) => maps.values(result, answer, view));
  if (found.some((values) => values === null)) { fetchSlice(view); return; }
  if (!picture) return;
  const fields = result.answers.map((answer, i) => maps.paint(result, answer, view, found[i]));
  const base = result.answers.findIndex((answer) => answer.name === result.baseline);
  const isDifference = view.show === 'difference';
  const top = view.fixed && !isDifference ? highestOfAll(result, view)
    : Math.max(...fields.map(maps.highest));
  const limit = isDifference ? Math.max(...fields.map((field) => maps.highest(
    field.map((value, i) => Math.abs(value - fields[base][i]))))) : top;
  result.answers.forEach((answer, i) => {
    const card = cardOf(answer);
    const differs = isDifference && i !== base;
    const field = differs ? fields[i].map((value, at) => value - fields[base][at]) : fields[i];
    stage(card, result, answer, view, picture, field, differs ? limit : top, differs);
    describe(card, result, answer, view, found[i], differs ? limit : top, differs);
    tokens(card, answer, view);
  });
}

const cardOf = (answer) => all('.vl-card').find((card) => card.dataset.answer === answer.name);

function highestOfAll(result, view) {
  return Math.max(...result.answers.flatMap((answer) => result.attention.map((layer) => {
    const found = maps.values(result, answer, view, layer);
    return found ? maps.highest(found) : 1e-5;
  })));
}

function stage(card, result, answer, view, picture, field, top, differs) {
  const target = card.querySelector('canvas');
  const {width, height} = result;
  const [context, shownWidth, shownHeight] = canvas.prepare(target, width, height);
  const tone = canvas.colourOf(card, '--vl-heat');
  const less = canvas.colourOf(card, '--vl-less');
  context.imageSmoothingEnabled = true;
  context.clearRect(0, 0, shownWidth, shownHeight);
  context.drawImage(picture, 0, 0, shownWidth, shownHeight);
  context.imageSmoothingEnabled = false;
  const more = differs ? canvas.colourOf(card, '--vl-more') : tone;
  context.drawImage(canvas.heat(field, width, height, top, view.opacity, more, less),
    0, 0, shownWidth, shownHeight);
  if (view.show === 'marked' || view.show === 'removed') {
    canvas.crosses(context, shownWidth, shownHeight, answer.cells,
      answer.sinks[maps.tokenOf(answer, view)].filter((i) => maps.isDrawn(answer, view, i)));
  }
  const mixture = view.layer !== null && maps.mixtureAt(answer, view.layer);
  if (view.rings && mixture && !differs) {
    canvas.rings(context, shownWidth, shownHeight, mixture, canvas.colourOf(card, '--vl-ring'),
      {most: MOST_RINGS, outer: 1});
  }
  canvas.boxes(context, shownWidth, shownHeight, result.boxes);
  card.querySelector('.vl-mark-place').hidden = !result.boxes.length;
  card.querySelector('.vl-mark-ring').hidden = !(view.rings && mixture && mixture.weights.length) || differs;
  for (const place of [store.patch, store.point].filter(Boolean)) {
    const i = maps.tokenAt(answer, view, ...place);
    if (i >= 0) canvas.outline(context, shownWidth, shownHeight, answer.cells, i);
  }
}

// What stands under a map: its scale, how much of the row it shows, the value under the pointer.
function describe(card, result, answer, view, found, top, differs) {
  const token = maps.tokenOf(answer, view);
  card.querySelector('.vl-unit').textContent = view.normalised
    ? 'of the attention on the image, per token' : 'of all attention, per image token';
  card.querySelector('[data-top]').textContent = `${differs ? '+' : ''}${maps.number(top)}`;
  card.querySelector('[data-low]').textContent = differs ? `−${maps.number(top)}` : '0';
  card.querySelector('.vl-scale').classList.toggle('vl-signed', differs);
  card.querySelector('.vl-scale i').style.opacity = view.opacity;
  const amounts = card.querySelector('.vl-amounts');
  const bars = [
    ['on the picture', meanAt(result, answer.share[token], view.layer)],
    ['of that, on target', answer.target && meanAt(result, answer.target[token], view.layer)],
  ].filter(([, value]) => value !== null && value !== undefined);
  amounts.replaceChildren(...bars.map(([words, value]) => meter(words, value)));
  if (view.show === 'marked' || view.show === 'removed') {
    const sinks = answer.sinks[token];
    const words = document.createElement('p');
    words.textContent = sinks.length ? `${sinks.length} sink${sinks.length > 1 ? 's' : ''} ${view.show === 'removed' ? 'taken out' : 'crossed'}` : 'no sinks';
    amounts.append(words);
  }
  let words = '';
  if (store.point) {
    const i = maps.tokenAt(answer, view, ...store.point);
    words = i < 0 ? 'No token sees this place.' : `${maps.number(found[i])} at the pointer`;
  }
  card.querySelector('.vl-point').textContent = words;
}

const meanAt = (result, values, layer) => {
  if (layer !== null) return values[layer];
  return result.attention.reduce((sum, l) => sum + values[l], 0) / result.attention.length;
};

function meter(words, value) {
  const made = document.createElement('p');
  made.className = 'vl-amount';
  const track = document.createElement('span');
  track.className = 'vl-track';
  const fill = document.createElement('i');
  fill.style.width = `${100 * Math.min(1, value)}%`;
  track.append(fill);
  const number = document.createElement('b');
  number.textContent = maps.percent(value);
  made.append(number, ` ${words}`, track);
  return made;
}

// One word needs no choice of tokens: the end token is shown where there are more, or for research.
function tokens(card, answer, view) {
  const group = card.querySelector('.vl-tokens');
  group.classList.toggle('vl-one', answer.tokens.length <= 2);
  const chosen = maps.tokenOf(answer, view);
  const base = store.result.answers.find((one) => one.name === store.result.baseline);
  group.replaceChildren(...answer.tokens.map((token, i) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'vl-token';
    button.dataset.token = i;
    button.setAttribute('aria-pressed', String(i === chosen));
    const differs = answer !== base && token !== base.tokens[i] &&
      answer.tokens.slice(0, i).every((one, at) => one === base.tokens[at]);
    const word = document.createElement('b');
    word.textContent = maps.visible(token);
    const sure = document.createElement('small');
    sure.textContent = answer.probabilities[i].toFixed(2);
    button.append(word, sure);
    if (differs) button.classList.add('vl-differs');
    const others = (answer.alternatives[i] || []).slice(0, 4)
      .map(([other, p]) => `${maps.visible(other)} ${p.toFixed(2)}`).join(' · ');
    button.title = `token ${i + 1}: ${others}${differs ? ' (the first that differs)' : ''}`;
    button.setAttribute('aria-label', `${maps.visible(token)} ${answer.probabilities[i].toFixed(2)}, token ${i + 1}${differs ? ', the first that differs' : ''}`);
    return button;
  }));
}

function controls(result, view) {
  const range = find('[data-view="layer"]');
  range.value = Math.max(0, result.attention.indexOf(view.layer));
  const roles = ['learning', 'injection'].filter((role) => result.roles[role].includes(view.layer));
  const words = {learning: 'read by VIF', injection: 'steered'};
  const named = view.layer === null ? 'Mean of all layers'
    : `Layer ${view.layer}${roles.length ? `, ${roles.map((role) => words[role]).join(' and ')}` : ''}`;
  find('.vl-where').textContent = named;
  range.setAttribute('aria-valuetext', named);
  for (const cell of all('.vl-cells [data-layer]')) {
    cell.classList.toggle('vl-now', Number(cell.dataset.layer) === view.layer);
  }
  for (const field of all('.vl-options [data-view]')) {
    const name = field.dataset.view;
    if (field.type === 'checkbox') field.checked = name === 'all' ? view.layer === null : view[name];
    else field.value = name === 'normalised' ? (view.normalised ? '1' : '') : view[name];
  }
  const play = find('[data-act="play"]');
  play.setAttribute('aria-pressed', String(playing !== null));
  play.querySelector('span').textContent = playing ? '❚❚' : '▶';
}

// The server learns of the view when it stops changing: for links, files and the next question.
function tell() {
  clearTimeout(telling);
  telling = setTimeout(() => trigger('input', store.view), TELL_MS);
}

function change(parts) {
  store.change(parts);
  tell();
}

function go(steps) {
  const {attention} = store.result;
  const at = attention.indexOf(store.view.layer);
  const next = Math.min(attention.length - 1, Math.max(0, (at < 0 ? 0 : at + steps)));
  change({layer: attention[next]});
}

function stop() {
  clearInterval(playing);
  playing = null;
}

function play() {
  if (playing) { stop(); draw(); return; }
  const {attention} = store.result;
  change({layer: attention[0]});
  playing = setInterval(() => {
    const at = attention.indexOf(store.view.layer);
    if (at >= attention.length - 1) { stop(); draw(); return; }
    change({layer: attention[at + 1]});
  }, STEP_MS);
}

// A place whose words are wanted: what a token stands for, and which answers read it.
function pick(place) {
  store.patch = place;
  trigger('select', {x: place[0], y: place[1]});
}

const placeOf = (event) => {
  const box = event.target.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

// The middle of the token that is looked at most, for those who have no pointer.
function strongest(card) {
  const {result, view} = store;
  const answer = result.answers.find((one) => one.name === card.dataset.answer);
  const found = maps.values(result, answer, view);
  if (!found) return null;
  const drawn = [...found.keys()].filter((i) => !Number.isNaN(answer.cells[4 * i]) && maps.isDrawn(answer, view, i));
  const i = drawn.reduce((best, one) => (found[one] > found[best] ? one : best), drawn[0]);
  const [x0, y0, x1, y1] = answer.cells.subarray(4 * i, 4 * i + 4);
  return [(x0 + x1) / 2, (y0 + y1) / 2];
}

element.addEventListener('click', (event) => {
  if (event.target.tagName === 'CANVAS' && store.result) { pick(placeOf(event)); return; }
  const button = event.target.closest('[data-act], [data-token], [data-layer]');
  if (!button || !store.result) return;
  if (button.dataset.act === 'run') document.querySelector('#run')?.click();
  if (button.dataset.act === 'play') play();
  if (button.dataset.token) change({token: Number(button.dataset.token)});
  if (button.dataset.layer) { stop(); change({layer: Number(button.dataset.layer)}); }
});
element.addEventListener('input', (event) => {
  const name = event.target.dataset.view;
  if (!name || !store.result) return;
  const {value, checked} = event.target;
  if (name === 'layer') { stop(); change({layer: store.result.attention[Number(value)]}); }
  else if (name === 'head') change({head: /^\d+$/.test(value) ? Number(value) : value});
  else if (name === 'normalised') change({normalised: value === '1'});
  else if (name === 'opacity') change({opacity: Number(value)});
  else if (name === 'all') change({layer: checked ? null : store.result.opening});
  else if (name === 'fixed' || name === 'rings') change({[name]: checked});
  else change({[name]: value});
});
// Arrow keys on a map change the layer, as they do on the slider; Enter picks its strongest token.
element.addEventListener('keydown', (event) => {
  if (event.target.tagName !== 'CANVAS' || !store.result) return;
  const step = {ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1}[event.key];
  if (step) { event.preventDefault(); stop(); go(step); }
  if (event.key === ' ') { event.preventDefault(); play(); }
  if (event.key === 'Enter') {
    const place = strongest(event.target.closest('.vl-card'));
    if (place) pick(place);
  }
});
element.addEventListener('pointermove', (event) => {
  if (event.target.tagName !== 'CANVAS' || !store.result) return;
  store.point = placeOf(event);
});
element.addEventListener('pointerleave', () => { if (store.point) store.point = null; });
element.addEventListener('pointerout', (event) => {
  if (event.target.tagName === 'CANVAS' && store.point) store.point = null;
});
new ResizeObserver(() => draw()).observe(element);
// Colours change with the theme.
new MutationObserver(() => draw()).observe(document.body, {attributes: true, attributeFilter: ['class']});
store.listen(draw);
watch(['value', 'data'], receive);
watch('slices', receiveSlices);
receive();
