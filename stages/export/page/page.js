'use strict';
// The page: takes photographs, asks the worker for their labels, shows and hands out what it said.
// `facts` and `packs` come from the scripts that the export wrote.

const MOST_PIXELS = 8e7, SMALLEST_SIDE = 32;
const FIRST_GUESS = 1500; // ms that the network may take, until it has been seen
const find = id => document.getElementById(id);
const stage = find('stage'), canvas = find('canvas'), legend = find('legend');
const view = new View(canvas, facts.palette);
let photo = null; // {name, bitmap, size, labels, counts}
let guess = FIRST_GUESS, busy = false;

find('proportions').textContent = `360°, twice as wide as high, or in proportion ${facts.view[1]} × ${facts.view[0]}`;
find('about').textContent = [
  facts.title, `${facts.names.length} classes`, `licence of the weights: ${facts.licence}`,
  `runs on onnxruntime-web ${facts.runtime} (Microsoft, MIT)`].join(' · ');
document.title = `Label a panorama: ${facts.title}`;

// ---- what comes with the page: base64 of gzip in scripts, since a page that was opened as a file
// may fetch nothing

const script = source => new Promise((done, fail) => {
  const element = document.createElement('script');
  Object.assign(element, { src: source, onload: done });
  element.onerror = () => fail(new Error(`${source} is missing beside this page; copy the whole folder.`));
  document.head.append(element);
});

async function unpack(name) {
  const bytes = Uint8Array.from(atob(packs[name]), letter => letter.charCodeAt(0));
  delete packs[name];
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

async function start() {
  await Promise.all([script('runtime.js'), script('model.js')]);
  const [code, module, wasm, model] = await Promise.all(
    ['worker', 'module', 'wasm', 'model'].map(unpack));
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })));
  const about = { view: facts.view, margin: facts.margin, names: facts.names, ignored: facts.ignored };
  const { ready } = await ask(worker, { module, wasm, model, about }, [module, wasm, model]);
  if (!photo) say(`Ready: the network was loaded in ${ms(ready)}.`);
  return worker;
}

/** The worker's answer to one message; its steps go to the progress line. */
function ask(worker, message, handed) {
  return new Promise((done, fail) => {
    worker.onmessage = ({ data }) => {
      if (data.step) progress(data);
      else if (data.error) fail(new Error(data.error));
      else done(data);
    };
    worker.onerror = event => fail(new Error(event.message || 'the worker did not start'));
    worker.postMessage(message, handed);
  });
}

const started = start();
started.catch(error => trouble(`The network could not be loaded: ${error.message}`));

// ---- a photograph, from the file to its labels

async function take(blob, name) {
  if (busy) return;
  busy = true;
  trouble('');
  const before = find('status').textContent;
  try {
    progress({ step: 'read' });
    const bitmap = await decode(blob, name), size = [bitmap.height, bitmap.width];
    const band = bandShare(size, facts.view); // refused before it is shown
    photo = { name: name.replace(/\.[^.]*$/, ''), bitmap, size, note: await tilt(blob) };
    present();
    const worker = await started;
    const pixels = pixelsOf(bitmap, size).data.buffer;
    const { labels, counts, times } = await ask(worker, { pixels, size }, [pixels]);
    Object.assign(photo, { labels, counts });
    guess = times[1];
    view.label(labels);
    list(counts);
    const [fit, network, back] = times.map(ms), whole = ms(times.reduce((a, b) => a + b));
    const part = band < 1 ? ` The network sees its middle ${Math.round(180 * band)}° and labels nothing ` +
      'above and below.' : '';
    say(`${name}, ${size[1]} × ${size[0]}, labelled in ${whole}: ${fit} to fit it, ${network} for the ` +
      `network, ${back} for the labels of its pixels.${part}${photo.note}`);
  } catch (error) {
    say(photo && !photo.labels ? '' : before);
    trouble(error.message);
  } finally {
    busy = false;
    progress({});
    for (const name of ['labels', 'overlay']) enable(name, Boolean(photo?.labels));
  }
}

async function decode(blob, name) {
  let bitmap;
  try { // the pixels as they are stored, but turned as the photograph says
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch {
    throw new Error(`${name} is not an image that this browser can read; give a JPEG, PNG or WebP.`);
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) {
    throw new Error(`${name} is too large: ${width} × ${height}, ${Math.round(width * height / 1e6)} ` +
      `million pixels; the most is ${MOST_PIXELS / 1e6} million.`);
  }
  if (Math.min(width, height) < SMALLEST_SIDE) {
    throw new Error(`${name} is too small: ${width} × ${height}, the least is ${SMALLEST_SIDE} a side.`);
  }
  return bitmap;
}

/** A sentence where a photograph says that its camera was tilted: `goodsam predict` would level it. */
async function tilt(blob) {
  const head = await blob.slice(0, 2 ** 18).text();
  const told = [...head.matchAll(/GPano:(?:Pose(?:Pitch|Roll)Degrees|CroppedArea(?:Top|Left)Pixels)\W{1,4}(-?[\d.]+)/g)];
  if (!told.some(match => Math.abs(match[1]) >= 0.1)) return '';
  return ' It says that its camera was tilted or that it is a part of a sphere, which this page does ' +
    'not undo: goodsam predict does.';
}

function pixelsOf(bitmap, [height, width]) {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

// ---- what is shown

const ms = time => time < 10000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`;
const say = text => { find('status').textContent = text; };
const enable = (name, yes) =>
  document.querySelectorAll(`[data-do=${name}]`).forEach(button => { button.disabled = !yes; });

function trouble(text) {
  find('trouble').textContent = text;
  find('trouble').hidden = !text;
}

const STEPS = {
  read: [4, 0.2, 'Reading the photograph …'], fit: [10, 0.2, 'Fitting it …'],
  network: [80, null, 'The network looks at it …'], labels: [80, 0.2, 'Labelling its pixels …'] };

function progress({ step, done = 0 }) {
  const line = find('progress'), bar = line.firstElementChild;
  line.classList.toggle('busy', Boolean(step));
  if (!step) { bar.style.width = '0'; return; }
  const [share, seconds, words] = STEPS[step], percent = share + 20 * done;
  // the network says nothing while it runs: the line goes on as fast as the last time
  bar.style.transitionDuration = `${seconds ?? guess / 1000}s`;
  bar.style.width = `${percent}%`;
  line.setAttribute('aria-valuenow', Math.round(percent));
  say(words);
}

function present() {
  find('invitation').hidden = true;
  find('classes').hidden = true;
  canvas.hidden = find('tools').hidden = false;
  for (const name of ['labels', 'overlay']) enable(name, false);
  stage.style.setProperty('--aspect', photo.size[1] / photo.size[0]);
  if (!view.gl) document.querySelector('[value=flat]').checked = true;
  find('modes').disabled = !view.gl;
  stage.classList.toggle('flat', !view.sphere);
  view.show(photo.bitmap, photo.size);
}

/** The legend: the classes that are there, the largest first. */
function list(counts) {
  const known = facts.names.map((name, id) => ({ name, id, count: counts[id] })).filter(c => c.count);
  const all = known.reduce((sum, one) => sum + one.count, 0);
  known.sort((a, b) => b.count - a.count);
  legend.replaceChildren(...known.map(({ name, id, count }) => {
    const share = 100 * count / all, button = document.createElement('button');
    button.dataset.id = id;
    button.setAttribute('aria-pressed', 'false');
    const colour = `rgb(${facts.palette[id]})`;
    button.append(swatch(id), part('span', 'name', name), part('span', 'bar', ''),
      part('span', 'value', share < 0.1 ? '< 0.1 %' : `${share.toFixed(1)} %`));
    const bar = document.createElement('i');
    Object.assign(bar.style, { width: `${100 * count / known[0].count}%`, background: colour });
    button.querySelector('.bar').append(bar);
    button.onclick = () => choose(view.chosen === id ? -1 : id);
    return button;
  }));
  find('classes').hidden = false;
}

function part(tag, kind, text) {
  const element = document.createElement(tag);
  element.className = kind;
  element.textContent = text;
  return element;
}

function swatch(id) {
  const element = part('span', 'swatch', '');
  element.style.background = `rgb(${facts.palette[id]})`;
  return element;
}

function choose(id) {
  view.chosen = id;
  view.painted = null;
  for (const button of legend.children) button.setAttribute('aria-pressed', Number(button.dataset.id) === id);
  view.draw();
}

function point(event) {
  const id = event && photo?.labels && event.target === canvas ? view.pick(event.clientX, event.clientY) : null;
  const box = stage.getBoundingClientRect(), tip = find('pointed');
  for (const button of legend.children) button.classList.toggle('pointed', Number(button.dataset.id) === id);
  tip.hidden = id === null;
  if (id === null) return;
  tip.replaceChildren(swatch(id), facts.names[id]);
  const x = event.clientX - box.left + 14, y = event.clientY - box.top + 16;
  tip.style.left = `${Math.max(4, Math.min(x, box.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(y, box.height - tip.offsetHeight - 4))}px`;
}

// ---- what is done by hand

const fingers = new Map();
canvas.addEventListener('pointerdown', event => {
  fingers.set(event.pointerId, [event.clientX, event.clientY]);
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener('pointermove', event => {
  const before = fingers.get(event.pointerId), now = [event.clientX, event.clientY];
  if (before) {
    const spread = () => {
      const [a, b] = [...fingers.values()];
      return b && Math.hypot(a[0] - b[0], a[1] - b[1]);
    };
    const wide = spread();
    fingers.set(event.pointerId, now);
    if (wide) view.zoom(wide / Math.max(1, spread()));
    else view.turn(now[0] - before[0], now[1] - before[1]);
  }
  point(event);
});
for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, event => fingers.delete(event.pointerId));
}
canvas.addEventListener('pointerleave', () => point(null));
canvas.addEventListener('wheel', event => {
  if (!view.sphere) return;
  view.zoom(Math.exp(event.deltaY / 600));
  event.preventDefault();
}, { passive: false });
canvas.addEventListener('keydown', event => {
  const step = canvas.clientWidth / 16;
  const act = {
    ArrowLeft: () => view.turn(step, 0), ArrowRight: () => view.turn(-step, 0),
    ArrowUp: () => view.turn(0, step), ArrowDown: () => view.turn(0, -step),
    '+': () => view.zoom(0.85), '-': () => view.zoom(1 / 0.85) }[event.key];
  if (!act) return;
  act();
  event.preventDefault();
});
find('modes').addEventListener('change', event => {
  view.sphere = event.target.value === 'sphere';
  stage.classList.toggle('flat', !view.sphere);
  view.draw();
});
find('opacity').addEventListener('input', event => {
  view.opacity = event.target.value / 100;
  document.querySelector('.opacity output').textContent = `${event.target.value} %`;
  view.draw();
});
new ResizeObserver(() => view.draw()).observe(canvas);

find('file').addEventListener('change', event => {
  const [file] = event.target.files;
  if (file) take(file, file.name);
  event.target.value = '';
});
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  addEventListener(kind, event => {
    event.preventDefault();
    stage.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    const file = kind === 'drop' && event.dataTransfer.files[0];
    if (file) take(file, file.name);
  });
}
addEventListener('paste', event => {
  const [file] = event.clipboardData.files;
  if (file) take(file, file.name);
});

const deeds = {
  open: async () => find('file').click(),
  sample: async () => {
    await script('sample.js');
    take(new Blob([await unpack('sample')]), 'sample.png');
  },
  labels: async () => save(await labelPng(photo.labels, photo.size, facts.palette), 'labels'),
  overlay: async () => save(await overlayPng(), 'overlay'),
};
for (const button of document.querySelectorAll('[data-do]')) {
  button.addEventListener('click', () => deeds[button.dataset.do]()
    .catch(error => trouble(error.message)));
}

function overlayPng() {
  const { bitmap, size, labels } = photo, image = pixelsOf(bitmap, size), share = view.opacity;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 255) continue;
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = (1 - share) * image.data[4 * i + c] + share * facts.palette[labels[i]][c];
    }
  }
  const out = new OffscreenCanvas(size[1], size[0]);
  out.getContext('2d').putImageData(image, 0, 0);
  return out.convertToBlob();
}

function save(blob, kind) {
  const link = document.createElement('a'), address = URL.createObjectURL(blob);
  Object.assign(link, { href: address, download: `${photo.name}-${kind}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
