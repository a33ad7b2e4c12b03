// Steps through what was sent once: frames, charts' marks, and a box that is drawn by hand.
const NAMESPACE = 'http://www.w3.org/2000/svg';
const STEP_MS = 600;
const LEAST = 0.02;
let playing = null;
let from = null;

const range = () => element.querySelector('input[type="range"][data-frames]');
const chosen = () => range()?.value
  ?? element.querySelector('input[type="radio"][data-frames]:checked')?.value ?? '0';

function show() {
  const at = chosen();
  for (const node of element.querySelectorAll('[data-frame]')) {
    if (node.dataset.frame === at) node.removeAttribute('hidden');
    else node.setAttribute('hidden', '');
  }
}

function stop() {
  clearInterval(playing);
  playing = null;
  element.querySelector('[data-act="play"]')?.setAttribute('aria-pressed', 'false');
}

function play(button) {
  if (playing) { stop(); return; }
  button.setAttribute('aria-pressed', 'true');
  range().value = '0';
  show();
  playing = setInterval(() => {
    const input = range();
    if (!input || input.value === input.max) { stop(); return; }
    input.value = String(Number(input.value) + 1);
    show();
  }, STEP_MS);
}

function place(svg, event) {
  const box = svg.getBoundingClientRect();
  const clamp = (value) => Math.min(1, Math.max(0, value));
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function drawMark(svg, [x0, y0, x1, y1]) {
  let mark = svg.querySelector('.vl-mark');
  if (!mark) {
    mark = document.createElementNS(NAMESPACE, 'rect');
    mark.setAttribute('class', 'vl-mark');
    svg.append(mark);
  }
  const {width, height} = svg.viewBox.baseVal;
  const sides = {x: Math.min(x0, x1) * width, y: Math.min(y0, y1) * height,
    width: Math.abs(x1 - x0) * width, height: Math.abs(y1 - y0) * height};
  for (const [name, value] of Object.entries(sides)) mark.setAttribute(name, value);
}

element.addEventListener('input', (event) => {
  if (!event.target.matches('[data-frames]')) return;
  stop();
  show();
});
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button?.dataset.act === 'play') play(button);
});
element.addEventListener('pointerdown', (event) => {
  const svg = event.target.closest('.vl-markable');
  if (!svg || event.button !== 0) return;
  event.preventDefault();
  svg.setPointerCapture(event.pointerId);
  from = [svg, place(svg, event)];
});
element.addEventListener('pointermove', (event) => {
  if (from) drawMark(from[0], [...from[1], ...place(from[0], event)]);
});
element.addEventListener('pointerup', (event) => {
  if (!from) return;
  const [svg, [x, y]] = from;
  const [toX, toY] = place(svg, event);
  from = null;
  const box = [Math.min(x, toX), Math.min(y, toY), Math.max(x, toX), Math.max(y, toY)];
  if (box[2] - box[0] > LEAST && box[3] - box[1] > LEAST) trigger('select', {box});
});
element.addEventListener('pointercancel', () => { from = null; });
watch('value', () => { stop(); show(); });
show();
