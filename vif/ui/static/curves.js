// How much, how widely and how well on target every layer looks: one line per answer, a click shows a layer.
const store = window.vifStore;
const maps = window.vifMaps;
const SVG = 'http://www.w3.org/2000/svg';
const SIZE = {height: 190, left: 46, right: 12, top: 28, bottom: 26};
const PANELS = [
  ['share', 'How much: attention on the image', true],
  ['others', 'Other images: attention on them', true],
  ['target', 'On target: share of that attention', true],
  ['spread', 'How widely: 0 one spot, 1 uniform', false],
  ['dominance', 'MDI: text over image, per token', false],
  ['economy_image', 'AEI of the image: 1 is its share of tokens', false],
  ['economy_text', 'AEI of the text: 1 is its share of tokens', false],
];
// Ratios, drawn on a logarithmic axis with a line at 1: twice and half are equally far from it.
const RATIOS = new Set(['dominance', 'economy_image', 'economy_text']);
const [LEAST, MOST] = [0.01, 100];
const within = (value) => Math.min(MOST, Math.max(value, LEAST));
let shown = '';
// Width of a panel on the screen: charts are drawn in its pixels, so that text keeps its size.
let width = 320;

function node(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// How many powers of ten the axis reaches to both sides of 1.
function reachOf(values) {
  const most = Math.max(1, ...values.filter((value) => value !== null).map(within).map((value) => Math.max(value, 1 / value)));
  return Math.log10([2, 5, 10, 20, 50, MOST].find((reach) => most <= reach));
}

function panel([key, title, isShare], result, view) {
  const answers = result.answers.filter((answer) => answer[key]);
  if (!answers.length) return null;
  const {height, left, right, top, bottom} = SIZE;
  const lines = answers.map((answer) => answer[key][maps.tokenOf(answer, view)]);
  const isRatio = RATIOS.has(key);
  const most = key === 'target' ? Math.max(0.05, ...lines.flat()) * 1.08 : 1;
  const reach = isRatio ? reachOf(lines.flat()) : 0;
  const x = (layer) => left + (width - left - right) * (result.layers > 1 ? layer / (result.layers - 1) : 0.5);
  const rise = (value) => (isRatio ? (Math.log10(within(value)) / reach + 1) / 2 : value / most);
  const y = (value) => height - bottom - (height - top - bottom) * rise(value);
  const svg = node('svg', {
    viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': title,
    class: isRatio ? 'vl-for-research' : '',
  });
  svg.append(node('text', {x: 12, y: 18, class: 'vl-chart-title'}, title));
  for (const role of ['learning', 'injection']) {
    const layers = result.roles[role];
    if (layers.length) {
      const step = (width - left - right) / Math.max(1, result.layers - 1) / 2;
      svg.append(node('rect', {
        x: Math.max(left, x(layers[0]) - step), y: top, height: height - top - bottom,
        width: Math.min(width - right, x(layers.at(-1)) + step) - Math.max(left, x(layers[0]) - step),
        class: `vl-chart-${role}`,
      }));
    }
  }
  for (let i = 0; i <= 2; i++) {
    const value = isRatio ? 10 ** (reach * (i - 1)) : most * i / 2;
    svg.append(node('line', {x1: left, x2: width - right, y1: y(value), y2: y(value), class: 'vl-chart-grid'}));
    svg.append(node('text', {x: left - 6, y: y(value) + 4, class: 'vl-chart-tick', 'text-anchor': 'end'},
      isShare ? `${(100 * value).toFixed(most < 0.2 ? 1 : 0)}%` : isRatio ? maps.number(value) : value.toFixed(1)));
  }
  const every = Math.ceil(result.layers / 12);
  for (let layer = 0; layer < result.layers; layer += every) {
    svg.append(node('text', {x: x(layer), y: height - 8, class: 'vl-chart-tick', 'text-anchor': 'middle'}, layer));
  }
  if (view.layer !== null) {
    svg.append(node('line', {x1: x(view.layer), x2: x(view.layer), y1: top, y2: height - bottom, class: 'vl-chart-now'}));
  }
  answers.forEach((answer, i) => {
    const group = node('g', {class: answer.tone});
    const points = lines[i].map((value, layer) => [layer, value]).filter(([, value]) => value !== null);
    group.append(node('polyline', {
      class: 'vl-chart-line', points: points.map(([layer, value]) => `${x(layer)},${y(value)}`).join(' '),
    }));
    for (const [layer, value] of points) {
      const dot = node('circle', {cx: x(layer), cy: y(value), r: layer === view.layer ? 5 : 3.2, class: 'vl-chart-dot'});
      dot.append(node('title', {}, `${answer.label}, layer ${layer}: ${isShare ? maps.percent(value) : maps.number(value)}`));
      group.append(dot);
    }
    svg.append(group);
  });
  // One invisible target per layer: larger than a dot, and reachable by keyboard on the scrubber.
  const step = (width - left - right) / Math.max(1, result.layers - 1);
  for (let layer = 0; layer < result.layers; layer++) {
    const hit = node('rect', {
      x: x(layer) - step / 2, y: top, width: step, height: height - top - bottom, class: 'vl-chart-hit',
    });
    hit.dataset.layer = layer;
    hit.append(node('title', {}, answers.map((answer, i) => {
      const value = lines[i][layer];
      return `${answer.label}, layer ${layer}: ${value === null ? 'no attention' : isShare ? maps.percent(value) : maps.number(value)}`;
    }).join('\n')));
    svg.append(hit);
  }
  return svg;
}

function draw() {
  const {result, view} = store;
  const place = element.querySelector('.vl-curves');
  if (!result || !place) return;
  width = Math.round(place.querySelector('svg')?.clientWidth || width);
  const now = [result.id, view.layer, view.token, width].join('/');
  if (now === shown && place.children.length) return;
  shown = now;
  const legend = document.createElement('p');
  legend.className = 'vl-legend';
  for (const answer of result.answers) {
    const key = document.createElement('span');
    key.className = answer.tone;
    key.textContent = answer.label;
    legend.append(key);
  }
  place.replaceChildren(legend, ...PANELS.map((one) => panel(one, result, view)).filter(Boolean));
  const wide = Math.round(place.querySelector('svg')?.clientWidth || width);
  if (wide !== width) draw();
}

element.addEventListener('click', (event) => {
  const layer = event.target.dataset?.layer;
  if (layer === undefined) return;
  const known = store.result.attention;
  if (known.includes(Number(layer))) store.change({layer: Number(layer)});
});
new ResizeObserver(() => draw()).observe(element);
store.listen(draw);
