// From pixels to pixels, around the network: the arithmetic of restoration/working_scale.py, exposure.py and
// composition.py, which say why. Pictures are flat arrays, row by row, with `channels` values a pixel.

const WORKING_SIZE = 256; // these two belong to aha-lite: models/build.py
const BRIGHTEST = 0.7;
const FINER = 4;
const REACH = 2; // pixels on either side in a window
const EPSILON = 1e-3;
const FAINTEST = 1e-3;
const STANDS_OUT = 0.1;
const MARGIN = 32;

// Changes `pixels` (RGBA bytes) in place; resolves to the number of pixels that changed.
//   separate(rgb, width, height, copies)  the network: RGB in [0, 1] -> its layers (specular 3, highlight 1), found in
//                                 the picture alone (1) or in its mirror image, too (2)
//   lookForSmall                  a second, finer pass over what is small and bright in large pictures
//   progress(text, share)
export async function removeHighlights(pixels, width, height, { separate, lookForSmall, progress }) {
  const gain = exposureGain(pixels, width, height);
  const network = async (rgb, w, h, copies = 2) => {
    const layers = await separate(gain === 1 ? rgb : rgb.map((v) => Math.min(v * gain, 1)), w, h, copies);
    return gain === 1 ? layers : layers.map((v, i) => (i % 4 === 3 ? v : v / gain));
  };
  progress("Separating …", 0.05);
  if (Math.max(width, height) <= WORKING_SIZE) {
    const layers = await network(unit({ data: rgbOf(pixels), width, height }), width, height);
    return compose(pixels, 0, layers);
  }
  let small = reduced(pixels, width, height, WORKING_SIZE);
  let layers = await network(unit(small), small.width, small.height);
  if (lookForSmall && Math.max(width, height) >= FINER * WORKING_SIZE) {
    const finer = reduced(pixels, width, height, FINER * WORKING_SIZE);
    const found = await smallHighlights(finer, small, layers, network, progress);
    if (found) [small, layers] = [finer, found];
  }
  progress("Writing …", 0.95);
  let changed = 0;
  enlarged(pixels, 4, width, height, small, layers, (top, row) => (changed += compose(pixels, top * width, row)));
  return changed;
}

// What brings the brightest parts of a dark picture to BRIGHTEST.
function exposureGain(pixels, width, height) {
  const step = Math.max(1, Math.floor(Math.sqrt((width * height) / 2 ** 18)));
  const counts = new Float64Array(256);
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) {
      const i = 4 * (y * width + x);
      counts[Math.max(pixels[i], pixels[i + 1], pixels[i + 2])]++;
    }
  }
  const place = 0.995 * (counts.reduce((a, b) => a + b) - 1);
  const ranked = (rank) => {
    let level = 0;
    for (let seen = counts[0]; seen <= rank; seen += counts[level]) level++;
    return level;
  };
  const [low, high] = [ranked(Math.floor(place)), ranked(Math.ceil(place))];
  const reached = (low + (high - low) * (place % 1)) / 255;
  return Math.min(4, Math.max(1, BRIGHTEST / Math.max(reached, 1e-6)));
}

// Subtracts a strip of layers from the pixels from index `first` on; returns how many changed.
function compose(pixels, first, layers) {
  let changed = 0;
  for (let i = 0; i < layers.length / 4; i++) {
    if (layers[4 * i + 3] === 0) continue;
    let different = false;
    for (let c = 0; c < 3; c++) {
      const level = toEven(layers[4 * i + c] * 255);
      const at = 4 * (first + i) + c;
      different ||= level !== 0;
      pixels[at] = Math.min(255, Math.max(0, pixels[at] - level));
    }
    changed += different;
  }
  return changed;
}

// The layers of a picture from those of a smaller one, by a guided filter, row by row: give(y, layers of row y).
function enlarged(pixels, channels, width, height, small, layers, give) {
  const { width: w, height: h } = small;
  const coefficients = fit(small, layers); // slopes 4, offsets 4, support 1
  const across = linearTable(w, width);
  const down = linearTable(h, height);
  const mixed = new Float32Array(9 * w);
  const row = new Float32Array(4 * width);
  const at = new Float32Array(9);
  for (let y = 0; y < height; y++) {
    const [upper, lower, share] = [down.first[y], down.second[y], down.share[y]];
    for (let i = 0; i < 9 * w; i++) {
      mixed[i] = coefficients[9 * w * upper + i] * (1 - share) + coefficients[9 * w * lower + i] * share;
    }
    for (let x = 0; x < width; x++) {
      const left = 9 * across.first[x];
      const right = 9 * across.second[x];
      const part = across.share[x];
      for (let k = 0; k < 9; k++) at[k] = mixed[left + k] * (1 - part) + mixed[right + k] * part;
      const i = channels * (y * width + x);
      const guide = Math.min(pixels[i], pixels[i + 1], pixels[i + 2]) / 255;
      for (let c = 0; c < 4; c++) {
        const value = at[c] * guide + at[4 + c];
        const low = c < 3 ? 0 : FAINTEST;
        const high = c < 3 ? pixels[i + c] / 255 : 1;
        row[4 * x + c] = at[8] > 0 ? Math.min(high, Math.max(low, value)) : 0;
      }
    }
    give(y, row);
  }
}

// The layers of `finer`: those of the reduced picture, and the small highlights that are lost there; or null.
async function smallHighlights(finer, small, layersOfSmall, network, progress) {
  const { width, height } = finer;
  const layers = new Float32Array(4 * width * height);
  enlarged(finer.data, 3, width, height, small, layersOfSmall, (y, row) => layers.set(row, 4 * width * y));
  const cleaned = unit(finer).map((v, i) => v - layers[4 * Math.floor(i / 3) + (i % 3)]);
  const guide = smallest(cleaned);
  const coarse = area(guide, 1, 1, width, height, small.width, small.height);
  const [across, down] = [linearTable(small.width, width), linearTable(small.height, height)];
  const standsOut = new Float32Array(width * height);
  const side = Math.max(small.width, small.height);
  const tiles = new Map();
  for (let y = 0; y < height; y++) {
    const [upper, lower, share] = [small.width * down.first[y], small.width * down.second[y], down.share[y]];
    for (let x = 0; x < width; x++) {
      const [left, right, part] = [across.first[x], across.second[x], across.share[x]];
      const above = coarse[upper + left] * (1 - part) + coarse[upper + right] * part;
      const below = coarse[lower + left] * (1 - part) + coarse[lower + right] * part;
      if (guide[y * width + x] - (above * (1 - share) + below * share) <= STANDS_OUT) continue;
      standsOut[y * width + x] = 1;
      const corner = [y - (y % side), x - (x % side)];
      tiles.set(String(corner), corner);
    }
  }
  if (!tiles.size) return null;
  const nearest = (i, n) => Math.min(n - 1, Math.max(0, i));
  const around = windows(standsOut, 1, width, height, Math.max, nearest);
  const share = windows(around, 1, width, height, (a, b) => a + b, nearest); // times the size of a window
  let done = 0;
  for (const [top, left] of tiles.values()) {
    progress(`Small highlights: part ${done + 1} of ${tiles.size} …`, 0.1 + (0.8 * done++) / tiles.size);
    const [y0, x0] = [Math.max(0, top - MARGIN), Math.max(0, left - MARGIN)];
    const [y1, x1] = [Math.min(height, top + side + MARGIN), Math.min(width, left + side + MARGIN)];
    const seen = new Float32Array(3 * (y1 - y0) * (x1 - x0));
    for (let y = y0; y < y1; y++) {
      seen.set(cleaned.subarray(3 * (y * width + x0), 3 * (y * width + x1)), 3 * (y - y0) * (x1 - x0));
    }
    const found = await network(seen, x1 - x0, y1 - y0, 1);
    for (let y = top; y < Math.min(height, top + side); y++) {
      for (let x = left; x < Math.min(width, left + side); x++) {
        const [from, to] = [4 * ((y - y0) * (x1 - x0) + x - x0), 4 * (y * width + x)];
        const weight = share[y * width + x] / (2 * REACH + 1) ** 2;
        for (let c = 0; c < 3; c++) layers[to + c] += Math.max(0, found[from + c] * weight);
        layers[to + 3] = Math.max(layers[to + 3], found[from + 3] * weight);
      }
    }
  }
  return layers;
}

// Slope and offset of each layer over the guide, and whether its map is not zero: 9 values a pixel.
function fit(small, layers) {
  const { width: w, height: h } = small;
  const guide = smallest(unit(small));
  const products = new Float32Array(10 * w * h); // guide, guide squared, layers, guide times layers
  for (let i = 0; i < w * h; i++) {
    products.set([guide[i], guide[i] * guide[i]], 10 * i);
    for (let c = 0; c < 4; c++) {
      products[10 * i + 2 + c] = layers[4 * i + c];
      products[10 * i + 6 + c] = layers[4 * i + c] * guide[i];
    }
  }
  const means = mean(products, 10, w, h);
  const fits = new Float32Array(8 * w * h);
  for (let i = 0; i < w * h; i++) {
    const [g, squared] = means.subarray(10 * i);
    for (let c = 0; c < 4; c++) {
      const value = means[10 * i + 2 + c];
      const slope = (means[10 * i + 6 + c] - value * g) / (squared - g * g + EPSILON);
      fits[8 * i + c] = slope;
      fits[8 * i + 4 + c] = value - slope * g;
    }
  }
  const smooth = mean(fits, 8, w, h);
  const coefficients = new Float32Array(9 * w * h);
  for (let i = 0; i < w * h; i++) {
    coefficients.set(smooth.subarray(8 * i, 8 * i + 8), 9 * i);
    coefficients[9 * i + 8] = layers[4 * i + 3] !== 0;
  }
  return coefficients;
}

// Means over windows, the picture mirrored at its edges.
function mean(values, channels, width, height) {
  const mirror = (i, n) => {
    while (i < 0 || i >= n) i = i < 0 ? -i - 1 : 2 * n - 1 - i;
    return i;
  };
  const sums = windows(values, channels, width, height, (a, b) => a + b, mirror);
  return sums.map((v) => v / (2 * REACH + 1) ** 2);
}

// `join` over all pixels of the square window around each one; `inside(i, n)` is what stands for index i.
function windows(values, channels, width, height, join, inside) {
  let source = values;
  for (const [count, stride, other, otherStride] of [
    [width, channels, height, channels * width],
    [height, channels * width, width, channels],
  ]) {
    const target = new Float32Array(values.length);
    for (let i = 0; i < count; i++) {
      const places = Array.from({ length: 2 * REACH + 1 }, (_, k) => stride * inside(i + k - REACH, count));
      for (let j = 0; j < other; j++) {
        for (let c = 0; c < channels; c++) {
          const at = j * otherStride + c;
          let value = source[at + places[0]];
          for (let k = 1; k < places.length; k++) value = join(value, source[at + places[k]]);
          target[at + stride * i] = value;
        }
      }
    }
    source = target;
  }
  return source;
}

// RGB bytes with `size` pixels along the longer side, each the mean of those that it covers.
function reduced(pixels, width, height, size) {
  const factor = size / Math.max(width, height);
  const [w, h] = [width, height].map((side) => Math.max(1, toEven(side * factor)));
  return { data: Uint8Array.from(area(pixels, 4, 3, width, height, w, h), toEven), width: w, height: h };
}

// Mean over the pixels that each of w x h covers, of the first `channels` of `stride` values a pixel.
function area(values, stride, channels, width, height, w, h) {
  const across = areaTable(width, w);
  const down = areaTable(height, h);
  const result = new Float32Array(channels * w * h);
  const row = new Float64Array(channels * w);
  for (let y = 0; y < h; y++) {
    row.fill(0);
    down[y].forEach(([from, weight]) => {
      for (let x = 0; x < w; x++) {
        for (const [column, share] of across[x]) {
          const at = stride * (from * width + column);
          for (let c = 0; c < channels; c++) row[channels * x + c] += weight * share * values[at + c];
        }
      }
    });
    result.set(row, channels * w * y);
  }
  return result;
}

// For each of `to` cells over `from` pixels: [pixel, share of the cell] of all that it covers.
function areaTable(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const [start, end] = [(i * from) / to, ((i + 1) * from) / to];
    const covered = [];
    for (let p = Math.floor(start); p < Math.min(from, Math.ceil(end)); p++) {
      covered.push([p, ((Math.min(end, p + 1) - Math.max(start, p)) * to) / from]);
    }
    return covered;
  });
}

// For each of `to` pixels over `from`: the two that it lies between, and the share of the second.
function linearTable(from, to) {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const share = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const place = Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
    first[i] = Math.floor(place);
    second[i] = Math.min(from - 1, first[i] + 1);
    share[i] = place - first[i];
  }
  return { first, second, share };
}

function rgbOf(pixels) {
  return Uint8Array.from({ length: (pixels.length / 4) * 3 }, (_, i) => pixels[4 * Math.floor(i / 3) + (i % 3)]);
}

function unit({ data }) {
  return Float32Array.from(data, (level) => level / 255);
}

function smallest(rgb) {
  return Float32Array.from({ length: rgb.length / 3 }, (_, i) => Math.min(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]));
}

// Rounded, halves to the even number, as numpy and OpenCV do.
function toEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
