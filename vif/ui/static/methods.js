// The menu of methods. The component's value is the list of names that are chosen.
const find = (selector) => element.querySelector(selector);
const boxes = () => [...element.querySelectorAll('input[type="checkbox"]')];
const chosen = () => props.value || [];
const composed = () => `${find('[data-part="map"]').value}+${find('[data-part="edit"]').value}`;
let isOpen = false;

function choose(names) {
  props.value = names;
  trigger('change');
  show();
}

function show() {
  // The page's own redrawing would fold the menu up.
  find('.vl-menu').open = isOpen;
  const isFull = chosen().length >= props.most;
  for (const box of boxes()) {
    box.checked = chosen().includes(box.value);
    box.disabled = 'impossible' in box.dataset || (isFull && !box.checked);
  }
  describe(isFull);
}

function describe(isFull) {
  const words = ['map', 'edit'].map((part) => find(`[data-part="${part}"]`).selectedOptions[0].dataset.words);
  find('[data-composed]').textContent = words.join(' ');
  find('[data-act="compose"]').disabled = isFull || chosen().includes(composed());
  find('.vl-menu').classList.toggle('vl-full', isFull);
}

element.addEventListener('change', (event) => {
  event.stopPropagation();
  const {value, checked, dataset} = event.target;
  if (dataset.part) show();
  else choose(checked ? [...chosen(), value] : chosen().filter((name) => name !== value));
});
element.addEventListener('click', (event) => {
  if (event.target.closest('summary')) isOpen = !find('.vl-menu').open;
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.remove) choose(chosen().filter((name) => name !== button.dataset.remove));
  if (button.dataset.act === 'compose') choose([...chosen(), composed()]);
});
watch(['value', 'menu', 'lines'], show);
// A map that needs no adapter is there at first, whatever is loaded.
find('[data-part="map"]').value = 'relative';
find('[data-part="edit"]').value = 'cut';
show();
