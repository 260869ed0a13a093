'use strict';
// A panorama and its labels on a canvas, as a sphere that is looked at from inside or flat. Angles in
// radians; `yaw` is where the middle looks, of the circle; u and v run from 0 to 1 over the picture.

const VERTEX = `#version 300 es
void main() {
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4. - 1., 0., 1.);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D photo, labels, palette;
uniform vec2 size, scale, look;  // px of the canvas; half of what it shows; yaw and pitch
uniform float opacity, extent, lod;
uniform bool sphere;
uniform int chosen;
out vec4 colour;
const float PI = 3.14159265358979;
void main() {
  vec2 p = (gl_FragCoord.xy / size * 2. - 1.) * scale, at;
  if (sphere) {
    float c = cos(look.y), s = sin(look.y);
    vec3 ray = vec3(p.x, p.y * c + s, c - p.y * s);
    at = vec2((look.x + atan(ray.x, ray.z)) / (2. * PI) + .5,
              .5 - atan(ray.y, length(ray.xz)) / extent);
  } else {
    at = vec2(look.x / (2. * PI) + .5 + p.x, .5 - p.y);
  }
  if (at.y < 0. || at.y > 1.) { colour = vec4(0.); return; }
  at.x = fract(at.x);
  vec3 seen = textureLod(photo, at, lod).rgb;
  int id = int(textureLod(labels, at, 0.).r * 255. + .5);
  if (chosen >= 0 && id != chosen) {
    colour = vec4(mix(vec3(dot(seen, vec3(.3, .6, .1))), seen, .25) * .45, 1.);
  } else {
    vec3 paint = texelFetch(palette, ivec2(id, 0), 0).rgb;
    colour = vec4(mix(seen, paint, id == 255 ? 0. : opacity), 1.);
  }
}`;

const UNIFORMS = [
  'photo', 'labels', 'palette', 'size', 'scale', 'look', 'opacity', 'extent', 'lod', 'sphere', 'chosen'];
const NEAREST_FOV = 0.35, WIDEST_FOV = 1.75, FIRST_FOV = 1.15;

class View {
  constructor(canvas, palette) {
    Object.assign(this, {
      canvas, sphere: true, yaw: 0, pitch: 0, fov: FIRST_FOV, opacity: 0.55, chosen: -1, size: null });
    this.gl = canvas.getContext('webgl2', { premultipliedAlpha: false });
    if (!this.gl) { // flat by other means
      this.sphere = false;
      this.flat = canvas.getContext('2d');
      this.palette = palette;
      return;
    }
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.at = Object.fromEntries(UNIFORMS.map(name => [name, gl.getUniformLocation(program, name)]));
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const colours = new Uint8Array(1024);
    palette.forEach((colour, id) => colours.set([...colour, 255], 4 * id));
    ['photo', 'labels', 'palette'].forEach((name, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
      gl.uniform1i(this.at[name], unit);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, unit ? gl.NEAREST : gl.LINEAR_MIPMAP_LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, unit ? gl.NEAREST : gl.LINEAR);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    });
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colours);
    this.most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  }

  /** A photograph without labels yet. bitmap: whatever a canvas draws; size: [height, width]. */
  show(bitmap, size) {
    const [height, width] = size;
    Object.assign(this, { size, labels: null, bitmap, painted: null, yaw: 0, pitch: 0, chosen: -1 });
    // a photograph has square pixels, all around
    this.extent = Math.min(Math.PI, 2 * Math.PI * height / width);
    this.fov = Math.min(FIRST_FOV, this.extent);
    if (this.gl) {
      const gl = this.gl, [source, w] = this._small(bitmap, height, width);
      gl.activeTexture(gl.TEXTURE0);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, source);
      gl.generateMipmap(gl.TEXTURE_2D);
      this.texels = w;
      this._upload(new Uint8Array([255]), 1, 1);
    }
    this.draw();
  }

  label(labels) {
    this.labels = labels;
    const [height, width] = this.size, step = this.gl ? Math.ceil(Math.max(width, height) / this.most) : 1;
    if (this.gl && step === 1) {
      this._upload(labels, height, width);
    } else if (this.gl) {
      const h = Math.floor(height / step), w = Math.floor(width / step), few = new Uint8Array(h * w);
      for (let i = 0; i < few.length; i++) {
        few[i] = labels[Math.floor(i / w) * step * width + i % w * step];
      }
      this._upload(few, h, w);
    }
    this.painted = null;
    this.draw();
  }

  _upload(labels, height, width) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE1);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, width, height, 0, gl.RED, gl.UNSIGNED_BYTE, labels);
  }

  /** The photograph, no larger than a texture may be, and its width. */
  _small(bitmap, height, width) {
    const share = Math.min(1, this.most / Math.max(height, width));
    if (share === 1) return [bitmap, width];
    const canvas = new OffscreenCanvas(Math.floor(width * share), Math.floor(height * share));
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return [canvas, canvas.width];
  }

  /** Half of what the canvas shows: tangents on the sphere, shares of the picture flat. */
  get scale() {
    const aspect = this.canvas.clientWidth / Math.max(1, this.canvas.clientHeight);
    if (this.sphere) return [Math.tan(this.fov / 2) * aspect, Math.tan(this.fov / 2)];
    return [aspect / (this.size[1] / this.size[0]) / 2, 0.5];
  }

  draw() {
    if (!this.size || this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      const { canvas } = this, dots = Math.min(devicePixelRatio, 2);
      const w = Math.round(canvas.clientWidth * dots), h = Math.round(canvas.clientHeight * dots);
      if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
      this.gl ? this._render(w, h) : this._paint(w, h);
    });
  }

  _render(w, h) {
    const { gl, at } = this, [x, y] = this.scale;
    const shown = this.sphere ? this.fov / (2 * Math.PI) / h : 2 * x / w; // of the circle, a pixel
    gl.viewport(0, 0, w, h);
    gl.uniform2f(at.size, w, h);
    gl.uniform2f(at.scale, x, y);
    gl.uniform2f(at.look, this.yaw, this.pitch);
    gl.uniform1f(at.opacity, this.opacity);
    gl.uniform1f(at.extent, this.extent);
    gl.uniform1f(at.lod, Math.max(0, Math.log2(this.texels * shown)));
    gl.uniform1i(at.sphere, this.sphere);
    gl.uniform1i(at.chosen, this.chosen);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** Without WebGL: the photograph and the labels over it, round the circle. */
  _paint(w, h) {
    const [height, width] = this.size, circle = h * width / height;
    this.painted ??= this.labels && colours(this.labels, this.size, this.palette, this.chosen);
    const start = (((w / 2 - circle / 2 - this.yaw / (2 * Math.PI) * circle) % circle) - circle) % circle;
    for (let x = start; x < w; x += circle) {
      this.flat.globalAlpha = 1;
      this.flat.drawImage(this.bitmap, x, 0, circle, h);
      this.flat.globalAlpha = this.opacity;
      if (this.painted) this.flat.drawImage(this.painted, x, 0, circle, h);
    }
  }

  /** Turn by so many pixels of the page. */
  turn(dx, dy) {
    const [x, y] = this.scale, { clientWidth, clientHeight } = this.canvas;
    if (this.sphere) {
      this.yaw -= 2 * dx / clientWidth * Math.atan(x);
      this.pitch += 2 * dy / clientHeight * Math.atan(y);
      this._hold();
    } else {
      this.yaw -= 2 * Math.PI * 2 * x * dx / clientWidth;
    }
    this.draw();
  }

  zoom(factor) {
    if (!this.sphere) return;
    this.fov = Math.max(NEAREST_FOV, Math.min(WIDEST_FOV, this.extent, this.fov * factor));
    this._hold();
    this.draw();
  }

  _hold() { // no farther up or down than there is something to see
    const most = this.extent > 3 ? Math.PI / 2 : Math.max(0, (this.extent - this.fov) / 2);
    this.pitch = Math.max(-most, Math.min(most, this.pitch));
  }

  /** The id under a place of the page; null where there is no label. */
  pick(clientX, clientY) {
    if (!this.labels) return null;
    const box = this.canvas.getBoundingClientRect(), [sx, sy] = this.scale;
    const x = ((clientX - box.left) / box.width * 2 - 1) * sx;
    const y = (1 - (clientY - box.top) / box.height * 2) * sy;
    let u = this.yaw / (2 * Math.PI) + 0.5 + x, v = 0.5 - y;
    if (this.sphere) {
      const c = Math.cos(this.pitch), s = Math.sin(this.pitch), up = y * c + s, ahead = c - y * s;
      u = (this.yaw + Math.atan2(x, ahead)) / (2 * Math.PI) + 0.5;
      v = 0.5 - Math.atan2(up, Math.hypot(x, ahead)) / this.extent;
    }
    if (v < 0 || v >= 1) return null;
    const [height, width] = this.size;
    const id = this.labels[Math.floor(v * height) * width + Math.floor((u - Math.floor(u)) * width)];
    return id === 255 ? null : id;
  }
}

/** A canvas of the labels' colours, clear where there are none; chosen: of one class only, or -1. */
function colours(labels, [height, width], palette, chosen) {
  const canvas = new OffscreenCanvas(width, height), image = new ImageData(width, height);
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 255 || (chosen >= 0 && labels[i] !== chosen)) continue;
    image.data.set(palette[labels[i]], 4 * i);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}
