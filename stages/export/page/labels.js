'use strict';
// From logits to the labels of a photograph's own pixels, as goodsam.stages.segformer.native does:
// bilinearly to the view's size, softmax, bilinearly to the photograph, and only then the likeliest.

const IGNORE = 255;

/** Uint8Array (height, width) of ids, 255 where the network has not looked.
 *  logits: {data, classes, height, width}, of the view widened by facts.margin columns at either end.
 *  facts: view [h, w], margin, names, ignored (lengths of runs of pixels, the first of kept ones).
 *  told: called with the share that is done. */
function nativeLabels(logits, size, facts, told = () => {}) {
  const [height, width] = size, [h, w] = facts.view, count = logits.classes;
  const band = bandShare(size, facts.view), top = height * (1 - band) / 2;
  const labels = new Uint8Array(height * width).fill(IGNORE);
  const ignored = mask(facts.ignored, h * w), known = facts.names.length;
  const same = height === h && width === w; // then softmax changes no pixel's order
  const rows = viewRows(logits, facts, same);
  const places = Float64Array.from({ length: width }, (_, x) => (x + 0.5) / width * w - 0.5);
  const left = Int32Array.from(places, x => (Math.floor(x) + w) % w);
  const across = Float32Array.from(places, x => x - Math.floor(x));
  for (let row = 0; row < height; row++) {
    const inside = (row + 0.5 - top) / (height * band);
    if (!(inside > 0 && inside < 1)) continue;
    const y = same ? row : Math.max(0, Math.min(h - 1, inside * h - 0.5));
    const upper = Math.max(0, Math.min(h - 2, Math.floor(y))), down = y - upper;
    const upperRow = rows(upper), lowerRow = rows(Math.min(upper + 1, h - 1));
    const { shares: above, best: high } = upperRow, { shares: below, best: low } = lowerRow;
    for (let x = 0; x < width; x++) {
      const share = same ? 0 : across[x], a = same ? x : left[x], b = same ? a : (a + 1) % w;
      // where all four corners say the same, so does every mean of them
      let best = high[a];
      if (best !== high[b] || best !== low[a] || best !== low[b]) {
        for (const one of [upperRow, lowerRow]) softmax(one, a, count), softmax(one, b, count);
        let most = -Infinity;
        for (let c = 0, i = a * count, j = b * count; c < count; c++, i++, j++) {
          const one = above[i] + down * (below[i] - above[i]);
          const value = one + share * (above[j] + down * (below[j] - above[j]) - one);
          if (value > most) { most = value; best = c; }
        }
      }
      if (ignored && ignored[even(y) * w + (Math.floor(places[x] + 0.5) + w) % w]) continue;
      labels[row * width + x] = best < known ? best : IGNORE; // one more: what a class map ignores
    }
    if (row % 64 === 0) told(row / height);
  }
  return labels;
}

/** A function that gives a row of the view, of which the last few are remembered: shares (w, classes),
 *  the best class of each pixel, and which pixels are done, as `softmax` is where it is needed. */
function viewRows(logits, facts, done) {
  const [h, w] = facts.view, { data, classes: count, height: lh, width: lw } = logits;
  const kept = new Map(), plane = lh * lw, mixed = new Float32Array(lw * count);
  const columns = Array.from({ length: w }, (_, x) => between(x + facts.margin, w + 2 * facts.margin, lw));
  const left = Int32Array.from(columns, ([first]) => first * count);
  const right = Int32Array.from(columns, ([, second]) => second * count);
  const across = Float64Array.from(columns, ([, , share]) => share);
  const make = y => {
    const [up, low, down] = between(y, h, lh), shares = new Float32Array(w * count);
    const best = new Uint8Array(w);
    for (let x = 0; x < lw; x++) {
      for (let c = 0; c < count; c++) {
        const a = data[c * plane + up * lw + x], b = data[c * plane + low * lw + x];
        mixed[x * count + c] = a + down * (b - a);
      }
    }
    for (let x = 0; x < w; x++) {
      const from = x * count, to = from + count, share = across[x];
      let most = -Infinity, likeliest = 0;
      for (let i = from, a = left[x], b = right[x]; i < to; i++, a++, b++) {
        const value = mixed[a] + share * (mixed[b] - mixed[a]);
        shares[i] = value;
        if (value > most) { most = value; likeliest = i - from; }
      }
      best[x] = likeliest;
    }
    return { shares, best, done: new Uint8Array(w).fill(done ? 1 : 0) };
  };
  return y => {
    if (!kept.has(y)) {
      if (kept.size > 3) kept.delete(kept.keys().next().value);
      kept.set(y, make(y));
    }
    return kept.get(y);
  };
}

/** The logits of a pixel of a row become shares, once. */
function softmax({ shares, best, done }, x, count) {
  if (done[x]) return;
  done[x] = 1;
  const from = x * count, to = from + count, most = shares[from + best[x]];
  let sum = 0;
  for (let i = from; i < to; i++) sum += shares[i] = Math.exp(shares[i] - most);
  for (let i = from; i < to; i++) shares[i] /= sum;
}

/** The two of `few` samples between which sample `i` of `many` lies, and how far from the first. */
function between(i, many, few) {
  const place = Math.max(0, (i + 0.5) * few / many - 0.5), first = Math.min(Math.floor(place), few - 1);
  return [first, Math.min(first + 1, few - 1), place - first];
}

function mask(runs, pixels) {
  if (!runs.length) return null;
  const out = new Uint8Array(pixels);
  runs.reduce((start, run, i) => (out.fill(i % 2, start, start + run), start + run), 0);
  return out;
}

/** The nearest whole number, of two the even one, as numpy has it. */
function even(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}
