// Drags a component of the mixture; a tap without a drag highlights it.
const LEAST = 4;
let held = null;

element.addEventListener('pointerdown', (event) => {
  const group = event.target.closest('[data-drag]');
  if (!group || event.button !== 0) return;
  event.preventDefault();
  const box = group.ownerSVGElement.getBoundingClientRect();
  held = {group, box, x: event.clientX, y: event.clientY, pointer: event.pointerId};
  element.setPointerCapture(event.pointerId);
});
element.addEventListener('pointermove', (event) => {
  if (!held) return;
  const view = held.group.ownerSVGElement.viewBox.baseVal;
  const scale = view.width / held.box.width;
  const [x, y] = [(event.clientX - held.x) * scale, (event.clientY - held.y) * scale];
  held.group.setAttribute('transform', `translate(${x} ${y})`);
});
element.addEventListener('pointerup', (event) => {
  if (!held) return;
  const {group, box} = held;
  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
  held = null;
  const index = Number(group.dataset.drag);
  if (Math.hypot(dx, dy) < LEAST) {
    group.removeAttribute('transform');
    trigger('select', {index, kind: ''});
    return;
  }
  const view = group.ownerSVGElement.viewBox.baseVal;
  const ring = group.querySelector('ellipse');
  trigger('select', {
    index,
    kind: 'move',
    x: Number(ring.getAttribute('cx')) / view.width + dx / box.width,
    y: Number(ring.getAttribute('cy')) / view.height + dy / box.height,
  });
});
element.addEventListener('pointercancel', () => {
  held?.group.removeAttribute('transform');
  held = null;
});
