'use strict';
// Label maps as `goodsam predict` writes them: PNG with ids as pixels and the classes' colours as
// palette. A canvas could write colours only.

/** A Blob. labels: Uint8Array (height, width); palette: a list of [r, g, b], the rest is black. */
async function labelPng(labels, [height, width], palette) {
  const lines = new Uint8Array(height * (width + 1)); // each begins with its filter: none
  for (let y = 0; y < height; y++) {
    lines.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const packed = new Response(new Blob([lines]).stream().pipeThrough(new CompressionStream('deflate')));
  const colours = new Uint8Array(768);
  palette.forEach((colour, id) => colours.set(colour, 3 * id));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint16(8, 0x0803); // 8 bits, of a palette
  return new Blob([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10),
    ...chunk('IHDR', new Uint8Array(header.buffer)),
    ...chunk('PLTE', colours),
    ...chunk('IDAT', new Uint8Array(await packed.arrayBuffer())),
    ...chunk('IEND', new Uint8Array(0)),
  ], { type: 'image/png' });
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});

function chunk(name, data) {
  const type = new TextEncoder().encode(name), ends = new DataView(new ArrayBuffer(8));
  let crc = -1;
  for (const part of [type, data]) for (const value of part) crc = CRC[(crc ^ value) & 255] ^ crc >>> 8;
  ends.setUint32(0, data.length);
  ends.setUint32(4, ~crc >>> 0);
  return [ends.buffer.slice(0, 4), type, data, ends.buffer.slice(4)];
}
