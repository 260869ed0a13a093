'use strict';
// Beside the page: fits photographs, runs the network, brings its labels back. Behind ONNX Runtime,
// fit.js and labels.js in one file, since a page that was opened as a file may load no others.

let session, facts;

async function open({ module, wasm, model, about }) {
  facts = about;
  ort.env.wasm.numThreads = 1; // more need headers of a server that a file has not
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(new Blob([module], { type: 'text/javascript' })) };
  session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'] });
}

async function label({ pixels, size }) {
  const [h, w] = facts.view, begun = performance.now();
  postMessage({ step: 'fit' });
  const view = fitted(new Uint8Array(pixels), size, facts.view), seen = performance.now();
  postMessage({ step: 'network' });
  const answer = await session.run({ image: new ort.Tensor('uint8', view, [1, h, w, 3]) });
  const { data, dims: [, classes, height, width] } = answer.logits, thought = performance.now();
  postMessage({ step: 'labels', done: 0 });
  const labels = nativeLabels(
    { data, classes, height, width }, size, facts, done => postMessage({ step: 'labels', done }));
  answer.logits.dispose();
  const counts = new Uint32Array(256);
  for (const id of labels) counts[id]++;
  const times = [seen - begun, thought - seen, performance.now() - thought];
  postMessage({ labels, counts, times }, [labels.buffer]);
}

onmessage = async ({ data }) => {
  try {
    if (data.model) {
      const begun = performance.now();
      await open(data);
      postMessage({ ready: performance.now() - begun });
    } else {
      await label(data);
    }
  } catch (error) {
    postMessage({ error: String(error?.message ?? error) });
  }
};
