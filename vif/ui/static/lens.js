// Tells the maps what a clicked place stands for: the eye is there, the tables lie below.
function tell() {
  window.vifStore.words = element.querySelector('[data-words]')?.dataset.words ?? '';
}

watch('value', tell);
tell();
