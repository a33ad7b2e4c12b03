// Whatever carries data-pick reports its number; data-kind tells several kinds apart.
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-pick]');
  if (!target || target.disabled) return;
  trigger('select', {index: Number(target.dataset.pick), kind: target.dataset.kind || ''});
});
