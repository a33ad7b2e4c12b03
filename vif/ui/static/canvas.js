// Draws a picture, a map over it, rings and boxes on a canvas. Zero leaves the picture untouched.
window.vifCanvas = (() => {
  const HATCH = 8;
  const pictures = new Map();

  // The picture of an address, loaded once; `ready` is called when it is.
  function pictureOf(address, ready) {
    let image = pictures.get(address);
    if (!image) {
      if (pictures.size > 8) pictures.clear();
      image = new Image();
      image.src = address;
      pictures.set(address, image);
    }
    if (image.complete && image.naturalWidth) return image;
    image.addEventListener('load', ready, {once: true});
    return null;
  }

  // "rgb(1, 2, 3)" of a CSS variable such as --vl-tone where an element stands.
  function colourOf(element, name) {
    const probe = document.createElement('i');
    probe.style.color = `var(${name})`;
    element.append(probe);
    const found = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number);
    probe.remove();
    return found;
  }

  // Gives the canvas as many pixels as it has on the screen; returns its context and size.
  function prepare(canvas, width, height) {
    const shown = canvas.clientWidth || width;
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(shown * ratio), Math.round(shown * height / width * ratio)];
    if (canvas.width !== size[0]) canvas.width = size[0];
    if (canvas.height !== size[1]) canvas.height = size[1];
    canvas.style.aspectRatio = `${width} / ${height}`;
    return [canvas.getContext('2d'), ...size];
  }

  // Colours of a field: alpha by value. `signed` fields take `less` below zero.
  function heat(field, width, height, top, opacity, more, less) {
    const made = new ImageData(width, height);
    const out = made.data;
    for (let i = 0; i < field.length; i++) {
      const value = field[i];
      const at = 4 * i;
      if (Number.isNaN(value)) {
        const stripe = (i % width + Math.floor(i / width)) % HATCH < 2 ? 150 : 90;
        out[at] = out[at + 1] = out[at + 2] = stripe;
        out[at + 3] = 166;
        continue;
      }
      const colour = value < 0 ? less : more;
      [out[at], out[at + 1], out[at + 2]] = colour;
      out[at + 3] = 255 * opacity * Math.min(1, Math.abs(value) / top);
    }
    const layer = document.createElement('canvas');
    [layer.width, layer.height] = [width, height];
    layer.getContext('2d').putImageData(made, 0, 0);
    return layer;
  }

  // Each line is drawn twice, light under dark, so that it shows on any picture.
  function twice(context, width, colour, draw, under = 'rgba(255, 255, 255, 0.85)') {
    for (const [style, size] of [[under, width + 2.5], [colour, width]]) {
      context.strokeStyle = style;
      context.lineWidth = size;
      draw();
    }
  }

  function rings(context, width, height, mixture, colour, options = {}) {
    const {most = 8, outer = most, numbers = false, muted = () => false, chosen = -1} = options;
    const unit = width / 400;
    const order = mixture.weights.map((_, k) => k)
      .sort((a, b) => (options.ranks || mixture.weights)[b] - (options.ranks || mixture.weights)[a])
      .slice(0, most);
    const heaviest = Math.max(...mixture.weights, 1e-9);
    const ink = `rgb(${colour.join(', ')})`;
    // Strongest last, so that it lies on top.
    for (const [rank, k] of [...order.entries()].reverse()) {
      const share = mixture.weights[k] / heaviest;
      const [x, y] = [mixture.means[k][0] * width, mixture.means[k][1] * height];
      context.globalAlpha = muted(k) ? 0.3 : 0.25 + 0.75 * share;
      for (const size of rank < outer ? [2, 1] : [1]) {
        const draw = () => {
          context.beginPath();
          context.ellipse(x, y, size * mixture.sigmas[k] * width, size * mixture.sigmas[k] * height,
            0, 0, 2 * Math.PI);
          context.stroke();
        };
        context.setLineDash(size === 2 ? [3 * unit, 3 * unit] : []);
        twice(context, unit * (size === 2 ? 1.1 : 1.2 + 1.8 * share), rank === chosen ? '#000' : ink, draw);
      }
      context.setLineDash([]);
      if (numbers) {
        context.globalAlpha = muted(k) ? 0.5 : 1;
        context.font = `700 ${15 * unit}px "IBM Plex Sans", sans-serif`;
        context.textAlign = 'center';
        context.lineWidth = 4 * unit;
        context.strokeStyle = 'rgba(255, 255, 255, 0.9)';
        context.strokeText(rank + 1, x, y + 5 * unit);
        context.fillStyle = ink;
        context.fillText(rank + 1, x, y + 5 * unit);
      }
    }
    context.globalAlpha = 1;
    return order;
  }

  function boxes(context, width, height, list) {
    const unit = width / 400;
    for (const [x0, y0, x1, y1] of list) {
      context.setLineDash([5 * unit, 4 * unit]);
      twice(context, 1.6 * unit, '#111', () => context.strokeRect(
        x0 * width - 2 * unit, y0 * height - 2 * unit,
        (x1 - x0) * width + 4 * unit, (y1 - y0) * height + 4 * unit));
    }
    context.setLineDash([]);
  }

  function crosses(context, width, height, cells, tokens) {
    for (const i of tokens) {
      const [x0, y0, x1, y1] = cells.subarray(4 * i, 4 * i + 4);
      if (Number.isNaN(x0)) continue;
      twice(context, 1.2 * width / 400, '#111', () => {
        context.beginPath();
        context.moveTo(x0 * width, y0 * height); context.lineTo(x1 * width, y1 * height);
        context.moveTo(x1 * width, y0 * height); context.lineTo(x0 * width, y1 * height);
        context.stroke();
      });
    }
  }

  // The cell under the pointer.
  function outline(context, width, height, cells, i) {
    const [x0, y0, x1, y1] = cells.subarray(4 * i, 4 * i + 4);
    twice(context, 1.5 * width / 400, '#111', () => context.strokeRect(
      x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height));
  }

  return {boxes, colourOf, crosses, heat, outline, pictureOf, prepare, rings};
})();
