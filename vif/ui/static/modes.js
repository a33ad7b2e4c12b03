// Research mode and projector type: `?mode=research` and `?projector=1` set them, and are kept.
(() => {
  const isOn = {
    research: (query) => query.get('mode') === 'research',
    projector: (query) => query.get('projector') === '1',
  };
  const put = {
    research: (query, on) => (on ? query.set('mode', 'research') : query.delete('mode')),
    projector: (query, on) => (on ? query.set('projector', '1') : query.delete('projector')),
  };

  function show() {
    const query = new URLSearchParams(location.search);
    for (const [mode, test] of Object.entries(isOn)) {
      const on = test(query);
      document.documentElement.classList.toggle(`vl-${mode}`, on);
      for (const button of document.querySelectorAll(`[data-mode="${mode}"]`)) {
        button.setAttribute('aria-pressed', String(on));
      }
    }
    for (const details of document.querySelectorAll('.vl-options')) {
      if (isOn.research(query)) details.open = true;
    }
    if (isOn.research(query)) unfold();
  }

  // Opens the settings once; a click that comes before the page listens counts for nothing.
  let hasUnfolded = false;
  function unfold() {
    if (hasUnfolded) return;
    const button = document.querySelector('#research > .label-wrap');
    if (!button) return;
    hasUnfolded = true;
    const timer = setInterval(() => {
      if (button.classList.contains('open') || !button.isConnected) clearInterval(timer);
      else button.click();
    }, 250);
  }

  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-mode]');
    if (!button) return;
    const query = new URLSearchParams(location.search);
    hasUnfolded = false;
    put[button.dataset.mode](query, button.getAttribute('aria-pressed') !== 'true');
    history.replaceState(null, '', `${location.pathname}${query.size ? `?${query}` : ''}${location.hash}`);
    show();
  });
  // Where the left column sticks: one that is longer than the window scrolls to its end first.
  function pinForm() {
    const form = document.querySelector('.vl-form');
    if (!form || form.dataset.pinned) return;
    form.dataset.pinned = 'yes';
    const place = () => form.style.setProperty(
      '--vl-form-top', `${Math.min(0, window.innerHeight - form.offsetHeight - 8)}px`);
    new ResizeObserver(place).observe(form);
    window.addEventListener('resize', place);
  }
  // Arrow keys move along tabs, as everywhere else.
  document.addEventListener('keydown', (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const tab = event.target.closest?.('[role="tab"]');
    if (!step || !tab) return;
    const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    event.preventDefault();
    next.click();
    next.focus();
  });
  // The page is built by scripts, piece by piece.
  new MutationObserver((changes) => {
    pinForm();
    if (changes.some((one) => [...one.addedNodes].some((node) =>
      node.nodeType === 1 && (node.matches('[data-mode], #research, .vl-options') || node.querySelector('[data-mode], #research, .vl-options'))))) show();
  }).observe(document, {childList: true, subtree: true});
})();
