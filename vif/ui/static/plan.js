// The row of layers: a click or a drag sets a range. The number fields below do the same by keyboard.
let drag = null;

const cellAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest?.('#plan [data-layer]');
const layerOf = (cell) => Number(cell.dataset.layer);

function mark() {
  for (const cell of element.querySelectorAll('[data-layer]')) {
    const isIn = drag && cell.closest('[data-range]').dataset.range === drag.range &&
      layerOf(cell) >= Math.min(drag.from, drag.to) && layerOf(cell) <= Math.max(drag.from, drag.to);
    cell.classList.toggle('vl-dragged', Boolean(isIn));
  }
}

element.addEventListener('pointerdown', (event) => {
  const cell = event.target.closest('[data-layer]');
  if (!cell || event.button !== 0) return;
  event.preventDefault();
  element.setPointerCapture(event.pointerId);
  drag = {range: cell.closest('[data-range]').dataset.range, from: layerOf(cell), to: layerOf(cell)};
  mark();
});
element.addEventListener('pointermove', (event) => {
  const cell = drag && cellAt(event);
  if (cell) { drag.to = layerOf(cell); mark(); }
});
element.addEventListener('pointerup', () => {
  if (!drag) return;
  const {range, from, to} = drag;
  drag = null;
  mark();
  trigger('select', {range, start: Math.min(from, to), end: Math.max(from, to)});
});
element.addEventListener('pointercancel', () => { drag = null; mark(); });
