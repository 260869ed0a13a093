'use strict';
// What the network sees of a photograph, as goodsam.data.panoramas.fit does it: the central band of
// a 2:1 panorama, resized by Pillow's rule for Lanczos in 8 bits, the seam kept closed.

const ASPECT_TOLERANCE = 0.03;

const hasAspect = (height, width, aspect) =>
  Math.abs(width / height / aspect - 1) <= ASPECT_TOLERANCE;

/** The share of a photograph's height that it keeps; an Error, for people, if it cannot be fitted. */
function bandShare(size, view) {
  const [h, w] = size, [height, width] = view;
  if (hasAspect(h, w, width / height)) return 1;
  if (hasAspect(h, w, 2) && 2 * height <= width) return 2 * height / width;
  throw new Error(
    `This picture is ${w} × ${h}. A panorama is twice as wide as high, or has the proportions ` +
    `${width} × ${height}.`);
}

/** RGBA (h, w) -> RGB of the view's size, Uint8Array (height, width, 3). */
function fitted(rgba, size, view) {
  const [h, w] = size, [height, width] = view;
  const kept = h * bandShare(size, view), top = (h - kept) / 2;
  if (h === height && w === width) return withoutAlpha(rgba);
  // Pillow keeps the edges of what it resizes as float32
  const across = taps(w, 0, w, width);
  const down = taps(h, Math.fround(top), Math.fround(h - top), height, true);
  const first = down.starts[0], last = down.starts[height - 1] + down.counts[height - 1];
  const lines = new Uint8Array((last - first) * width * 3);
  for (let y = first; y < last; y++) {
    for (let x = 0, to = (y - first) * width * 3; x < width; x++, to += 3) {
      let r = HALF, g = HALF, b = HALF;
      for (let k = 0, column = across.starts[x]; k < across.counts[x]; k++, column++) {
        const weight = across.weights[x * across.most + k];
        const from = 4 * (y * w + (column % w + w) % w);
        r += rgba[from] * weight; g += rgba[from + 1] * weight; b += rgba[from + 2] * weight;
      }
      lines[to] = byte(r); lines[to + 1] = byte(g); lines[to + 2] = byte(b);
    }
  }
  const out = new Uint8Array(height * width * 3), row = 3 * width;
  for (let y = 0; y < height; y++) {
    for (let i = 0; i < row; i++) {
      let sum = HALF;
      for (let k = 0, from = (down.starts[y] - first) * row + i; k < down.counts[y]; k++, from += row) {
        sum += lines[from] * down.weights[y * down.most + k];
      }
      out[y * row + i] = byte(sum);
    }
  }
  return out;
}

const BITS = 22, HALF = 2 ** (BITS - 1); // Pillow's weights are whole numbers of 2 ** -22
const byte = sum => Math.max(0, Math.min(255, Math.floor(sum / 2 ** BITS)));

/** Which pixels of a line, from `begin` to `end`, make each of `count`, and with what weight.
 *  Starts may lie outside the line, which is a circle, unless it is `bounded`. */
function taps(length, begin, end, count, bounded = false) {
  const scale = Math.fround(end - begin) / count, wide = Math.max(scale, 1), support = 3 * wide;
  const most = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(count), counts = new Int32Array(count);
  const weights = new Float64Array(count * most);
  for (let i = 0; i < count; i++) {
    const centre = begin + (i + 0.5) * scale;
    let start = Math.floor(centre - support + 0.5), stop = Math.floor(centre + support + 0.5);
    if (bounded) { start = Math.max(start, 0); stop = Math.min(stop, length); }
    const own = weights.subarray(i * most, i * most + stop - start);
    let sum = 0;
    for (let k = 0; k < own.length; k++) sum += own[k] = lanczos((start + k - centre + 0.5) / wide);
    for (let k = 0; k < own.length; k++) {
      const whole = own[k] / sum * 2 ** BITS;
      own[k] = Math.trunc(whole + (whole < 0 ? -0.5 : 0.5));
    }
    starts[i] = start; counts[i] = own.length;
  }
  return { starts, counts, weights, most };
}

const sinc = x => x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
const lanczos = x => x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;

function withoutAlpha(rgba) {
  const rgb = new Uint8Array(rgba.length / 4 * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from]; rgb[to + 1] = rgba[from + 1]; rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}
