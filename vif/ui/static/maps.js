// Numbers that the server sent once per result, and the maps that are made of them.
window.vifMaps = (() => {
  const buffer = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

  // Every float16, decoded once.
  const HALVES = Float32Array.from({length: 65536}, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
  });
  const half = (text) => Float32Array.from(new Uint16Array(buffer(text)), (bits) => HALVES[bits]);
  const single = (text) => new Float32Array(buffer(text));

  // A result as it arrives becomes one with typed arrays.
  function decode(data) {
    const answers = data.answers.map((answer) => ({
      ...answer,
      cells: single(answer.cells),
      rows: answer.rows && half(answer.rows),
      mixtures: answer.mixtures.map((mixture) => ({
        ...mixture, map: half(mixture.map), spread: mixture.spread && half(mixture.spread),
      })),
    }));
    const result = {...data, answers, slices: {}};
    addSlices(result, data.slices);
    return result;
  }

  function addSlices(result, slices) {
    for (const [key, maps] of Object.entries(slices)) {
      result.slices[key] = Object.fromEntries(
        Object.entries(maps).map(([name, text]) => [name, half(text)]));
    }
  }

  const tokenOf = (answer, view) => Math.min(view.token, answer.tokens.length - 1);

  // One number per image token; null while a large model's numbers are still on their way.
  function values(result, answer, view, layer = view.layer) {
    const found = answer.rows
      ? fromRows(result, answer, view, layer)
      : fromSlice(result, answer, view, layer);
    if (!found) return null;
    for (let i = 0; i < found.length; i++) if (!(found[i] > 0)) found[i] = 0;
    if (view.show === 'removed') for (const i of answer.sinks[tokenOf(answer, view)]) found[i] = 0;
    if (view.normalised) {
      const total = found.reduce((sum, value) => sum + value, 0) || 1;
      for (let i = 0; i < found.length; i++) found[i] /= total;
    }
    return found;
  }

  function fromRows(result, answer, view, layer) {
    const {layers, heads} = result;
    const count = answer.cells.length / 4;
    const found = new Float32Array(count);
    const picked = layer === null ? result.attention : [layer];
    const chosen = Number.isInteger(view.head) ? [view.head] : [...Array(heads).keys()];
    const start = tokenOf(answer, view) * layers;
    for (let i = 0; i < count; i++) {
      let most = 0;
      let sum = 0;
      for (const head of chosen) {
        let mean = 0;
        for (const l of picked) mean += answer.rows[((start + l) * heads + head) * count + i];
        mean /= picked.length;
        sum += mean;
        most = Math.max(most, mean);
      }
      found[i] = view.head === 'max' ? most : sum / chosen.length;
    }
    return found;
  }

  function fromSlice(result, answer, view, layer) {
    const slice = result.slices[`${view.token}/${view.head}`];
    if (!slice) return null;
    const count = answer.cells.length / 4;
    const row = layer === null ? result.layers : layer;
    return slice[answer.name].slice(row * count, (row + 1) * count);
  }

  // Which tokens belong to the chosen scale.
  const isDrawn = (answer, view, i) => !answer.blocks || view.scale === 'all' ||
    (answer.blocks[i] > 0) === (view.scale === 'tiles');

  // Values on pixels, NaN where no token lies; where scales are added a token counts by its area.
  function paint(result, answer, view, found) {
    const {width, height} = result;
    const field = new Float32Array(width * height).fill(NaN);
    const {cells} = answer;
    const adds = Boolean(answer.blocks) && view.scale === 'all';
    const area = (i) => (cells[4 * i + 2] - cells[4 * i]) * (cells[4 * i + 3] - cells[4 * i + 1]);
    let unit = 1;
    if (adds) {
      const whole = [...answer.blocks.keys()].filter((i) => answer.blocks[i] === 0 && area(i) > 0)
        .map(area).sort((a, b) => a - b);
      unit = whole.length ? (whole[(whole.length - 1) >> 1] + whole[whole.length >> 1]) / 2 : 1;
    }
    for (let i = 0; i < found.length; i++) {
      if (Number.isNaN(cells[4 * i]) || !isDrawn(answer, view, i)) continue;
      const [x0, y0, x1, y1] = edges(cells, i, width, height);
      const value = adds ? found[i] * unit / area(i) : found[i];
      for (let y = y0; y < y1; y++) {
        for (let at = y * width + x0; at < y * width + x1; at++) {
          field[at] = adds && !Number.isNaN(field[at]) ? field[at] + value : value;
        }
      }
    }
    return field;
  }

  // Rounding both edges of neighbours to the same pixel leaves neither gap nor overlap.
  const edges = (cells, i, width, height) => [
    Math.max(0, Math.round(cells[4 * i] * width)), Math.max(0, Math.round(cells[4 * i + 1] * height)),
    Math.min(width, Math.round(cells[4 * i + 2] * width)),
    Math.min(height, Math.round(cells[4 * i + 3] * height)),
  ];

  const highest = (field) => {
    let top = 1e-5;
    for (const value of field) if (value > top) top = value;
    return top;
  };

  // The finest token at a place, -1 where there is none.
  function tokenAt(answer, view, x, y) {
    let found = -1;
    let least = Infinity;
    const {cells} = answer;
    for (let i = 0; i < cells.length / 4; i++) {
      const [x0, y0, x1, y1] = cells.subarray(4 * i, 4 * i + 4);
      if (!(x >= x0 && x < x1 && y >= y0 && y < y1) || !isDrawn(answer, view, i)) continue;
      if ((x1 - x0) * (y1 - y0) < least) [found, least] = [i, (x1 - x0) * (y1 - y0)];
    }
    return found;
  }

  // What `vif.adapter.mixture.render` makes of a mixture by density, from components that count.
  function density(cells, means, sigmas, weights) {
    const count = cells.length / 4;
    const map = new Float32Array(count);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    means.forEach(([x, y], k) => {
      if (!weights[k]) return;
      const parts = new Float32Array(count);
      let sum = 0;
      const near = [...Array(count).keys()].map((i) => {
        const dx = (cells[4 * i] + cells[4 * i + 2]) / 2 - x;
        const dy = (cells[4 * i + 1] + cells[4 * i + 3]) / 2 - y;
        return -(dx * dx + dy * dy) / (2 * sigmas[k] * sigmas[k]);
      });
      const most = near.reduce((a, b) => (b > a ? b : a), -Infinity);
      near.forEach((exponent, i) => {
        parts[i] = Number.isNaN(exponent) ? 0 : Math.exp(exponent - most);
        sum += parts[i];
      });
      for (let i = 0; i < count; i++) map[i] += weights[k] / total * parts[i] / sum;
    });
    return map;
  }

  const mixtureAt = (answer, layer) => answer.mixtures.find((mixture) => mixture.layer === layer);

  function number(value) {
    if (value === 0 || Math.abs(value) >= 0.1) return value.toFixed(2);
    return String(Number(value.toPrecision(2)));
  }
  const percent = (value) => `${(100 * value).toFixed(value >= 0.0995 ? 0 : 1)} %`;
  const visible = (token) => {
    const shown = token.replaceAll('\n', '⏎').replaceAll('\t', '⇥');
    return shown.trim() ? shown : '␣'.repeat(Math.max(1, shown.length));
  };

  return {
    addSlices, decode, density, edges, half, highest, isDrawn, mixtureAt, number, paint, percent,
    single, tokenAt, tokenOf, values, visible,
  };
})();
