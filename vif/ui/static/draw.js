// Boxes and brush strokes over the picture; reports the whole drawing after every change.
// The drawing itself lives in a property, so that it outlives the page's own redrawing.
const NAMESPACE = 'http://www.w3.org/2000/svg';
const LEAST = 0.01;
let tool = 'box';
let live = null;

const shapes = () => props.shapes || [];
const area = () => element.querySelector('.vl-draw-area');
const clamp = (value) => Math.min(1, Math.max(0, value));
const brush = () => Number(element.querySelector('.vl-draw-size')?.value || 6) / 200;

function place(event) {
  const box = area().getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width), clamp((event.clientY - box.top) / box.height)];
}

function node(name, attributes) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function rectangle([x0, y0, x1, y1], width, height, style) {
  return node('rect', {
    class: style, x: Math.min(x0, x1) * width, y: Math.min(y0, y1) * height,
    width: Math.abs(x1 - x0) * width, height: Math.abs(y1 - y0) * height,
  });
}

function draw() {
  const svg = area()?.querySelector('svg');
  if (!svg) return;
  const [width, height] = svg.getAttribute('viewBox').split(' ').slice(2).map(Number);
  svg.replaceChildren();
  for (const shape of [...shapes(), ...(live ? [live] : [])]) {
    if (shape.box) {
      svg.append(rectangle(shape.box, width, height, 'vl-drawn-under'),
                 rectangle(shape.box, width, height, 'vl-drawn'));
    } else {
      const points = shape.points.map(([x, y]) => `${x * width},${y * height}`);
      // A single point has no length, and would not be drawn.
      if (points.length === 1) points.push(points[0]);
      svg.append(node('polyline', {
        class: 'vl-painted', points: points.join(' '),
        'stroke-width': 2 * shape.r * Math.max(width, height),
      }));
    }
  }
  for (const box of props.truth || []) {
    svg.append(rectangle(box, width, height, 'vl-box-under'), rectangle(box, width, height, 'vl-box'));
  }
  for (const button of element.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
  }
}

function change(made) {
  props.shapes = made;
  draw();
  const box = area().getBoundingClientRect();
  trigger('select', {
    boxes: made.filter((shape) => shape.box).map((shape) => shape.box),
    strokes: made.filter((shape) => shape.points),
    ratio: box.width / box.height,
  });
}

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.tool) { tool = button.dataset.tool; draw(); }
  if (button.dataset.act === 'undo') change(shapes().slice(0, -1));
  if (button.dataset.act === 'clear') change([]);
});
element.addEventListener('pointerdown', (event) => {
  if (!area()?.contains(event.target) || event.button !== 0) return;
  event.preventDefault();
  area().setPointerCapture(event.pointerId);
  const [x, y] = place(event);
  live = tool === 'box' ? {box: [x, y, x, y]} : {r: brush(), points: [[x, y]]};
  draw();
});
element.addEventListener('pointermove', (event) => {
  if (!live) return;
  const [x, y] = place(event);
  if (live.box) live.box = [...live.box.slice(0, 2), x, y];
  else {
    const [lastX, lastY] = live.points.at(-1);
    if (Math.hypot(x - lastX, y - lastY) > LEAST) live.points.push([x, y]);
  }
  draw();
});
element.addEventListener('pointerup', () => {
  if (!live) return;
  const made = live;
  live = null;
  const isDot = made.box &&
    (Math.abs(made.box[2] - made.box[0]) < LEAST || Math.abs(made.box[3] - made.box[1]) < LEAST);
  if (isDot) draw();
  else change([...shapes(), made]);
});
element.addEventListener('pointercancel', () => { live = null; draw(); });
watch(['value', 'shapes', 'truth'], draw);
draw();
