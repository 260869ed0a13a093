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
  const rows = viewRows(logits, facts, !same);
  const places = Float64Array.from({ length: width }, (_, x) => (x + 0.5) / width * w - 0.5);
  const left = Int32Array.from(places, x => (Math.floor(x) + w) % w);
  const across = Float32Array.from(places, x => x - Math.floor(x));
  const line = new Float32Array(w * count);
  for (let row = 0; row < height; row++) {
    const inside = (row + 0.5 - top) / (height * band);
    if (!(inside > 0 && inside < 1)) continue;
    const y = same ? row : Math.max(0, Math.min(h - 1, inside * h - 0.5));
    const upper = Math.max(0, Math.min(h - 2, Math.floor(y))), down = y - upper;
    const above = rows(upper), below = rows(Math.min(upper + 1, h - 1));
    for (let i = 0; i < line.length; i++) line[i] = above[i] + down * (below[i] - above[i]);
    for (let x = 0; x < width; x++) {
      const share = same ? 0 : across[x];
      const a = (same ? x : left[x]) * count, b = same ? a : (left[x] + 1) % w * count;
      let best = 0, most = -Infinity;
      for (let c = 0; c < count; c++) {
        const value = line[a + c] + share * (line[b + c] - line[a + c]);
        if (value > most) { most = value; best = c; }
      }
      if (ignored && ignored[even(y) * w + (Math.floor(places[x] + 0.5) + w) % w]) continue;
      labels[row * width + x] = best < known ? best : IGNORE; // one more: what a class map ignores
    }
    if (row % 64 === 0) told(row / height);
  }
  return labels;
}

/** A function that gives a row of the view, (w, classes); the last few are remembered. */
function viewRows(logits, facts, shares) {
  const [h, w] = facts.view, { data, classes: count, height: lh, width: lw } = logits;
  const kept = new Map(), plane = lh * lw, mixed = new Float32Array(lw * count);
  const wide = w + 2 * facts.margin;
  const make = y => {
    const [up, low, down] = between(y, h, lh), row = new Float32Array(w * count);
    for (let x = 0; x < lw; x++) {
      for (let c = 0; c < count; c++) {
        const a = data[c * plane + up * lw + x], b = data[c * plane + low * lw + x];
        mixed[x * count + c] = a + down * (b - a);
      }
    }
    for (let x = 0; x < w; x++) {
      const [a, b, across] = between(x + facts.margin, wide, lw), to = x * count;
      let most = -Infinity;
      for (let c = 0; c < count; c++) {
        const value = mixed[a * count + c] + across * (mixed[b * count + c] - mixed[a * count + c]);
        row[to + c] = value;
        if (value > most) most = value;
      }
      if (!shares) continue;
      let sum = 0;
      for (let c = 0; c < count; c++) sum += row[to + c] = Math.exp(row[to + c] - most);
      for (let c = 0; c < count; c++) row[to + c] /= sum;
    }
    return row;
  };
  return y => {
    if (!kept.has(y)) {
      if (kept.size > 3) kept.delete(kept.keys().next().value);
      kept.set(y, make(y));
    }
    return kept.get(y);
  };
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
