// Every layer of every answer as a small map, all on one scale; a click shows one large.
const store = window.vifStore;
const maps = window.vifMaps;
const canvas = window.vifCanvas;
// One bright token in one layer would leave all other maps dark.
const QUANTILE = 0.995;
let shown = '';

function draw() {
  const {result, view} = store;
  const place = element.querySelector('.vl-sheet-rows');
  if (!result || !place || !place.clientWidth) return;
  const picture = canvas.pictureOf(result.picture, draw);
  if (!picture) return;
  const now = JSON.stringify([result.id, {...view, layer: 0, fixed: 0, rings: 0}, document.body.className]);
  if (now !== shown || !place.children.length) {
    const found = result.answers.map((answer) =>
      result.attention.map((layer) => maps.values(result, answer, view, layer)));
    if (found.flat().some((values) => values === null)) return;
    shown = now;
    const sorted = found.flatMap((layers) => layers.map((values) => [...values])).flat().sort((a, b) => a - b);
    const top = Math.max(sorted[Math.floor(QUANTILE * (sorted.length - 1))] || 0, 1e-5);
    place.replaceChildren(...result.answers.map((answer, i) => row(answer, found[i])));
    result.answers.forEach((answer, i) => {
      const line = place.children[i];
      const colour = canvas.colourOf(line, '--vl-heat');
      line.querySelectorAll('canvas').forEach((target, at) => {
        const [context, width, height] = canvas.prepare(target, result.width, result.height);
        context.drawImage(picture, 0, 0, width, height);
        context.imageSmoothingEnabled = false;
        const field = maps.paint(result, answer, view, found[i][at]);
        context.drawImage(canvas.heat(field, result.width, result.height, top, view.opacity, colour), 0, 0, width, height);
      });
    });
    element.querySelector('.vl-sheet-scale').textContent =
      `One scale for all: 0 – ${maps.number(top)} and more (up to ${maps.number(sorted.at(-1) || 0)}).`;
  }
  for (const button of place.querySelectorAll('[data-layer]')) {
    button.setAttribute('aria-pressed', String(Number(button.dataset.layer) === view.layer));
  }
}

function row(answer) {
  const {result} = store;
  const line = document.createElement('div');
  line.className = `vl-sheet-row ${answer.tone}`;
  const title = document.createElement('h3');
  title.textContent = answer.label;
  const thumbs = document.createElement('div');
  thumbs.className = 'vl-thumbs';
  for (const layer of result.attention) {
    const roles = ['learning', 'injection'].filter((role) => result.roles[role].includes(layer));
    const button = document.createElement('button');
    button.type = 'button';
    button.className = ['vl-thumb', ...roles.map((role) => `vl-is-${role}`)].join(' ');
    button.dataset.layer = layer;
    const name = document.createElement('span');
    name.textContent = `Layer ${layer}`;
    button.append(document.createElement('canvas'), name);
    button.setAttribute('aria-label', `${answer.label}, layer ${layer}${roles.length ? `, ${roles.join(' and ')} layer` : ''}`);
    thumbs.append(button);
  }
  line.append(title, thumbs);
  return line;
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-layer]');
  if (button) store.change({layer: Number(button.dataset.layer)});
});
new ResizeObserver(() => { shown = element.querySelector('.vl-sheet-rows').clientWidth ? shown : ''; draw(); }).observe(element);
store.listen(draw);
