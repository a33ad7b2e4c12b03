// The result and the view that all drawings of the page share, and whether they are up to date.
window.vifStore = (() => {
  const FIRST = {
    token: 0, layer: null, head: 'mean', normalised: false, opacity: 0.75, scale: 'whole',
    show: 'raw', rings: true, fixed: false,
  };
  const listeners = new Set();
  let result = null;
  let view = {...FIRST};
  let point = null;
  let patch = null;
  let words = '';
  let isAsked = false;
  let form = {now: null, asked: null, pending: null};

  const tell = () => { for (const listener of listeners) listener(); };
  let isWaiting = false;
  // Several changes before the next frame are drawn once.
  function later() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => { isWaiting = false; tell(); });
  }

  function nearest(layer) {
    const known = result.attention;
    return known.reduce((best, one) => (Math.abs(one - layer) < Math.abs(best - layer) ? one : best));
  }

  // A new result opens on its own layer and first token; how it is shown stays.
  function show(data, opened = {}) {
    result = window.vifMaps.decode(data);
    view = {...view, token: 0, layer: result.opening, ...opened};
    if (Number.isInteger(view.head) && view.head >= result.heads) view.head = 'mean';
    if (!result.tiled) view.scale = 'whole';
    if (view.show === 'difference' && result.answers.length < 2) view.show = 'raw';
    if (view.layer !== null) view.layer = nearest(view.layer);
    point = patch = null;
    words = '';
    // An answer to a changed mixture belongs to the question that was asked before.
    if (!data.again) form.asked = form.pending ?? form.now;
    form.pending = null;
    later();
  }

  function clear() { result = null; later(); }

  function change(parts) {
    view = {...view, ...parts};
    later();
  }

  function addSlices(slices) {
    if (!result) return;
    window.vifMaps.addSlices(result, slices);
    later();
  }

  // -- whether the answers belong to what is filled in now --------------------------------
  // A picture is known by its content: Gradio keeps it in a folder named by its hash.
  const identity = (value) => (value?.path ? value.path.split(/[\\/]/).at(-2) : value);
  const print = (values) => JSON.stringify(values, (key, value) => identity(value));
  // The page loads the form and its answers piece by piece: nothing is stale before the user acts.
  let isTouched = false;
  for (const name of ['pointerdown', 'keydown', 'input', 'drop', 'paste']) {
    document.addEventListener(name, (event) => { isTouched ||= event.isTrusted; }, true);
  }
  function fill(values) {
    form.now = print(values);
    if (result && !isTouched) form.asked = form.now;
    later();
  }
  function ask(values) { isAsked = true; form.pending = form.now = print(values); later(); }
  const isStale = () => form.asked !== null && form.now !== form.asked;

  return {
    addSlices, ask, change, clear, fill, isStale, show,
    get result() { return result; },
    get view() { return view; },
    get isAsked() { return isAsked; },
    get point() { return point; },
    set point(place) { point = place; later(); },
    // The place whose words were asked for last.
    get patch() { return patch; },
    set patch(place) { patch = place; words = ''; later(); },
    // What the token of that place stands for, once it is known.
    get words() { return words; },
    set words(said) { words = said; later(); },
    listen(listener) { listeners.add(listener); later(); },
  };
})();
