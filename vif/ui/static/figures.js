// Maps and rings over a picture, side by side, for panels of any kind; nothing to set.
const maps = window.vifMaps;
const canvas = window.vifCanvas;
const WHOLE = {scale: 'whole'};

function build(data) {
  element.replaceChildren();
  const row = document.createElement('div');
  row.className = `vl-cols vl-count-${data.figures.length}`;
  for (const one of data.figures) {
    const section = document.createElement('section');
    section.className = `vl-map ${one.tone}`;
    const title = document.createElement('h3');
    title.textContent = one.title;
    const target = document.createElement('canvas');
    target.setAttribute('role', 'img');
    target.setAttribute('aria-label', `${one.title}. ${one.caption}`);
    const words = document.createElement('p');
    words.className = 'vl-small';
    section.append(title, target, words);
    row.append(section);
  }
  element.append(row);
}

function draw() {
  const {data} = props;
  if (!data) { element.replaceChildren(); return; }
  if (element.dataset.id !== String(data.id) || !element.children.length) {
    element.dataset.id = data.id;
    build(data);
  }
  const picture = canvas.pictureOf(data.picture, draw);
  if (!picture) return;
  const fields = data.figures.map((one) => one.values && maps.paint(data,
    {cells: maps.single(one.cells), blocks: null}, WHOLE, maps.half(one.values)));
  const shared = Math.max(1e-5, ...fields.filter(Boolean).map(maps.highest));
  data.figures.forEach((one, i) => {
    const section = element.querySelectorAll('section')[i];
    const target = section.querySelector('canvas');
    if (!target.clientWidth) return;
    const [context, width, height] = canvas.prepare(target, data.width, data.height);
    context.drawImage(picture, 0, 0, width, height);
    const top = one.top ?? shared;
    if (fields[i]) {
      context.imageSmoothingEnabled = false;
      context.drawImage(canvas.heat(fields[i], data.width, data.height, top, 0.85,
        canvas.colourOf(section, '--vl-heat')), 0, 0, width, height);
    }
    canvas.boxes(context, width, height, one.boxes);
    if (one.mixture) {
      canvas.rings(context, width, height, one.mixture, canvas.colourOf(section, '--vl-ring'));
    }
    section.querySelector('p').textContent =
      `${one.caption}${fields[i] ? ` Range 0 – ${maps.number(top)}.` : ''}`;
  });
}

new ResizeObserver(() => draw()).observe(element);
watch('data', draw);
draw();
