// The injected mixture: rings that can be dragged, the map they make, and what is changed in it.
// Changes live here until they are asked with; the server checks them.
const store = window.vifStore;
const maps = window.vifMaps;
const canvas = window.vifCanvas;
const LEAST_SIGMA = 0.005;
let id = null;
let chosen = {answer: null, layer: null, most: 6};
let changed = null;
let held = null;

const find = (selector) => element.querySelector(selector);
const injecting = () => store.result?.answers.filter((answer) => answer.mixtures.length) || [];
const answer = () => injecting().find((one) => one.name === chosen.answer) || injecting()[0];
const own = () => answer().mixtures.find((one) => one.layer === chosen.layer) || answer().mixtures.at(-1);

function reset() {
  const mixture = own();
  changed = {
    means: mixture.means.map((mean) => [...mean]), sigmas: [...mixture.sigmas],
    weights: [...mixture.weights], muted: [], solo: null, touched: [],
  };
}

const isHeard = (k) => (changed.solo !== null ? k === changed.solo : !changed.muted.includes(k));
const isEmpty = () => !changed.muted.length && changed.solo === null && !changed.touched.length;

function told() {
  const parts = changed.solo !== null ? ['one component alone']
    : changed.muted.length ? [`${changed.muted.length} muted`] : [];
  if (changed.touched.length) parts.push(`${changed.touched.length} changed`);
  return parts.join(', ');
}

function touch(k) { if (!changed.touched.includes(k)) changed.touched.push(k); }

function options(select, pairs, value) {
  const text = JSON.stringify(pairs);
  if (select.dataset.options !== text) {
    select.dataset.options = text;
    select.replaceChildren(...pairs.map(([words, one]) => new Option(words, one)));
  }
  select.value = value;
}

function draw() {
  const found = injecting();
  find('.vl-mixture').hidden = !found.length;
  find('.vl-none').hidden = Boolean(found.length);
  if (!found.length) return;
  if (id !== store.result.id) {
    id = store.result.id;
    chosen.layer = null;
    changed = null;
  }
  // The layer follows the scrubber until something is changed in it.
  const isShown = answer().mixtures.some((one) => one.layer === store.view.layer);
  if (chosen.layer === null || (isShown && (!changed || isEmpty()))) {
    const layer = isShown ? store.view.layer : answer().mixtures.at(-1).layer;
    if (layer !== chosen.layer) { chosen.layer = layer; changed = null; }
  }
  if (!changed) reset();
  const mixture = own();
  options(find('[data-field="answer"]'), found.map((one) => [one.label, one.name]), answer().name);
  find('[data-field="answer"]').parentElement.hidden = found.length < 2;
  options(find('[data-field="layer"]'), answer().mixtures.map((one) => [`Layer ${one.layer}`, one.layer]), mixture.layer);
  const most = find('[data-field="most"]');
  most.max = Math.max(2, mixture.weights.length);
  chosen.most = Math.min(chosen.most, most.max);
  most.value = chosen.most;
  drawRings(mixture);
  drawWeights(mixture);
  table(mixture);
  find('.vl-bars').replaceChildren(...mixture.strength.map((value, head) => {
    const row = document.createElement('li');
    row.innerHTML = '<span class="vl-word"></span><span class="vl-track"><i></i></span><span class="vl-num"></span>';
    row.children[0].textContent = `head ${head}`;
    row.querySelector('i').style.width = `${100 * Math.min(1, value)}%`;
    row.children[2].textContent = value.toFixed(2);
    return row;
  }));
  find('.vl-changed').textContent = isEmpty() ? '' : `Changed by you: ${told()}.`;
  find('[data-act="undo"]').disabled = isEmpty();
  find('[data-act="ask"]').disabled = isEmpty() || !changed.weights.some((w, k) => w > 0 && isHeard(k)) ||
    !mixture.weights.length;
}

function drawRings(mixture) {
  const target = find('.vl-rings');
  if (!target.clientWidth) return;
  const {result} = store;
  const picture = canvas.pictureOf(result.picture, draw);
  if (!picture) return;
  const [context, width, height] = canvas.prepare(target, result.width, result.height);
  context.drawImage(picture, 0, 0, width, height);
  canvas.boxes(context, width, height, result.boxes);
  canvas.rings(context, width, height, changed, canvas.colourOf(target, '--vl-ring'), {
    most: chosen.most, numbers: true, muted: (k) => !isHeard(k), ranks: mixture.weights,
  });
}

function drawWeights(mixture) {
  const target = find('.vl-weights');
  if (!target.clientWidth) return;
  const {result, view} = store;
  const picture = canvas.pictureOf(result.picture, draw);
  if (!picture) return;
  const [context, width, height] = canvas.prepare(target, result.width, result.height);
  context.drawImage(picture, 0, 0, width, height);
  context.imageSmoothingEnabled = false;
  const words = find('.vl-weights-words');
  const isOwn = isEmpty();
  if (!isOwn && !answer().density) {
    words.textContent = 'This adapter renders its map in the published form; ask again to see it.';
    return;
  }
  const weights = changed.weights.map((weight, k) => (isHeard(k) ? weight : 0));
  const found = isOwn ? mixture.map : maps.density(answer().cells, changed.means, changed.sigmas, weights);
  const field = maps.paint(result, answer(), view, found);
  const top = maps.highest(field);
  context.drawImage(canvas.heat(field, result.width, result.height, top, view.opacity,
    canvas.colourOf(target, '--vl-heat')), 0, 0, width, height);
  canvas.boxes(context, width, height, result.boxes);
  words.textContent = `Weight of every image token, 0 – ${maps.number(top)}; the sum is 1.`;
}

function order(mixture) {
  return mixture.weights.map((_, k) => k)
    .sort((a, b) => mixture.weights[b] - mixture.weights[a]).slice(0, chosen.most);
}

function table(mixture) {
  const body = find('tbody');
  const ranks = order(mixture);
  // A field that is being typed into stays.
  const focus = document.activeElement?.closest?.('tbody') === body ? document.activeElement : null;
  if (body.children.length !== ranks.length || body.dataset.key !== `${id}/${answer().name}/${mixture.layer}`) {
    body.dataset.key = `${id}/${answer().name}/${mixture.layer}`;
    body.replaceChildren(...ranks.map((k, rank) => row(k, rank)));
  }
  ranks.forEach((k, rank) => {
    const line = body.children[rank];
    const values = [changed.means[k][0], changed.means[k][1], changed.sigmas[k], changed.weights[k]];
    line.querySelectorAll('input').forEach((input, i) => {
      if (input !== focus) input.value = values[i].toFixed(i === 2 ? 3 : 2);
    });
    line.querySelector('[data-kind="mute"]').setAttribute('aria-pressed', String(changed.muted.includes(k)));
    line.querySelector('[data-kind="solo"]').setAttribute('aria-pressed', String(changed.solo === k));
    line.classList.toggle('vl-muted-component', !isHeard(k));
  });
}

function row(k, rank) {
  const line = document.createElement('tr');
  line.dataset.component = k;
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = rank + 1;
  line.append(head);
  for (const name of ['x', 'y', 'sigma', 'weight']) {
    const cell = document.createElement('td');
    const input = document.createElement('input');
    Object.assign(input, {type: 'number', min: 0, max: 1, step: 0.01});
    input.dataset.number = name;
    input.setAttribute('aria-label', `${name} of component ${rank + 1}`);
    cell.append(input);
    line.append(cell);
  }
  const uses = document.createElement('td');
  for (const [kind, words] of [['mute', 'Mute'], ['solo', 'Solo']]) {
    const button = document.createElement('button');
    Object.assign(button, {type: 'button', className: 'vl-button vl-mini', textContent: words});
    button.dataset.kind = kind;
    button.setAttribute('aria-label', `${words} component ${rank + 1}`);
    uses.append(button);
  }
  line.append(uses);
  return line;
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button || !changed) return;
  const k = Number(button.closest('tr')?.dataset.component);
  if (button.dataset.kind === 'mute') {
    changed.muted = changed.muted.includes(k) ? changed.muted.filter((one) => one !== k) : [...changed.muted, k];
  }
  if (button.dataset.kind === 'solo') changed.solo = changed.solo === k ? null : k;
  if (button.dataset.act === 'undo') reset();
  if (button.dataset.act === 'ask') {
    trigger('submit', {answer: answer().name, layer: own().layer, ...changed});
  }
  draw();
});
element.addEventListener('input', (event) => {
  const {field, number} = event.target.dataset;
  if (field === 'answer') { chosen.answer = event.target.value; chosen.layer = null; changed = null; }
  if (field === 'layer') {
    chosen.layer = Number(event.target.value);
    changed = null;
    store.change({layer: chosen.layer});
  }
  if (field === 'most') chosen.most = Number(event.target.value);
  if (number && event.target.value !== '') {
    const k = Number(event.target.closest('tr').dataset.component);
    const value = Math.min(1, Math.max(number === 'sigma' ? LEAST_SIGMA : 0, Number(event.target.value)));
    if (number === 'x') changed.means[k][0] = value;
    if (number === 'y') changed.means[k][1] = value;
    if (number === 'sigma') changed.sigmas[k] = value;
    if (number === 'weight') changed.weights[k] = value;
    touch(k);
  }
  draw();
});

function place(event) {
  const box = find('.vl-rings').getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

element.addEventListener('pointerdown', (event) => {
  if (event.target !== find('.vl-rings') || event.button !== 0) return;
  const [x, y] = place(event);
  const near = order(own()).map((k) => {
    const [dx, dy] = [changed.means[k][0] - x, changed.means[k][1] - y];
    return [Math.hypot(dx, dy) / Math.max(changed.sigmas[k], 0.03), k];
  }).sort((a, b) => a[0] - b[0])[0];
  if (!near || near[0] > 1.5) return;
  event.preventDefault();
  held = {k: near[1], x, y, mean: [...changed.means[near[1]]]};
  event.target.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
  if (!held) return;
  const [x, y] = place(event);
  const clamp = (value) => Math.min(1, Math.max(0, value));
  changed.means[held.k] = [clamp(held.mean[0] + x - held.x), clamp(held.mean[1] + y - held.y)];
  touch(held.k);
  draw();
});
element.addEventListener('pointerup', () => { held = null; });
element.addEventListener('pointercancel', () => { held = null; });
new ResizeObserver(() => draw()).observe(element);
store.listen(draw);
