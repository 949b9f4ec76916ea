// One view: the slices of one sequence, its name, window / level and measurements.

import "./vendor/niivue.js";

const { Niivue, NVImage } = globalThis.niivue;
const SVG = "http://www.w3.org/2000/svg";

export class View {
  constructor(name, number, box) {
    this.name = name;
    this.lengths = [];
    this.figure = document.createElement("figure");
    this.figure.innerHTML = `<canvas></canvas><svg aria-hidden="true"></svg>
      <figcaption><b><span></span> <kbd>${number}</kbd></b><span class="window"></span><span class="slice"></span></figcaption>`;
    this.canvas = this.figure.querySelector("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.overlay = this.figure.querySelector("svg");
    this.figure.setAttribute("aria-label", name);
    box.append(this.figure);
  }

  async start() {
    this.nv = new Niivue({
      interactive: false,
      dragAndDropEnabled: false,
      isRadiologicalConvention: true,
      isSliceMM: true,
      sliceType: 0,
      crosshairWidthUnit: "percent",
      crosshairColor: [0.35, 0.75, 1, 0.8],
      fontColor: [0.75, 0.8, 0.85, 1],
      fontMinPx: 12,
      loadingText: "",
      logLevel: "error",
    });
    await this.nv.attachToCanvas(this.canvas, false);
  }

  async show(bytes) {
    this.clear();
    this.image = await NVImage.new(bytes, "image.nii");
    this.nv.addVolume(this.image);
    this.counts = this.image.dimsRAS.slice(1, 4);
    this.first = firstWindow(this.image.img);
    this.resetWindow();
  }

  clear() {
    for (const volume of [...(this.nv?.volumes ?? [])]) this.nv.removeVolume(volume);
    this.image = null;
    this.lengths = [];
    this.overlay.replaceChildren();
  }

  mark(active) {
    this.figure.classList.toggle("active", active);
    this.figure.querySelector("b > span").textContent = (active ? "▸ " : "") + this.name;
  }

  resetWindow() {
    if (!this.image) return;
    [this.low, this.high] = this.first;
    this.changed = true;
  }

  windowBy(wider, brighter) {
    const unit = this.first[1] - this.first[0];
    const width = Math.max(this.high - this.low + wider * unit, unit / 50);
    const level = Math.min(Math.max((this.high + this.low) / 2 - brighter * unit, this.first[0]), this.first[1] * 2);
    [this.low, this.high] = [level - width / 2, level + width / 2];
    this.changed = true;
  }

  /** In words. */
  get window() {
    return `${Math.round(this.high - this.low)} / ${Math.round((this.high + this.low) / 2)}`;
  }

  /** The fractions of the volume under a point of the window, or null beside the image and before it has a size. */
  under(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const at = this.nv.canvasPos2frac([(clientX - box.left) * scale, (clientY - box.top) * scale]);
    return at[0] >= 0 ? [...at] : null;
  }

  /** What pixels right and down on the screen are in the patient; nothing before the image has a size. */
  millimetres(right, down) {
    const [across, along] = this.axes;
    const { leftTopWidthHeight: tile, fovMM } = this.nv.screenSlices[0];
    const scale = this.canvas.width / this.canvas.clientWidth;
    const moved = [0, 0, 0];
    if (!tile[2] || !tile[3]) return moved;
    moved[across] = right * scale * (fovMM[0] / tile[2]); // negative where the patient's right is on the left
    moved[along] = -down * scale * (fovMM[1] / tile[3]);
    return moved;
  }

  /** The distance of two points given as fractions of the volume, by the spacing in the file. */
  distance(one, other) {
    const [a, b] = [one, other].map((at) => this.nv.frac2mm(at));
    return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  }

  draw({ at, axis, pan, zoom, crosshair, slice }) {
    this.axis = axis;
    if (this.changed) {
      [this.image.cal_min, this.image.cal_max] = [this.low, this.high];
      this.nv.updateGLVolume();
      this.changed = false;
    }
    this.nv.opts.sliceType = 2 - axis;
    this.nv.opts.crosshairWidth = crosshair ? 0.3 : 0;
    this.nv.scene.crosshairPos = at;
    this.nv.scene.pan2Dxyzmm = [...pan, zoom];
    this.nv.drawScene();
    this.figure.querySelector(".window").textContent = `Window / level ${this.window}`;
    this.figure.querySelector(".slice").textContent = `Slice ${slice[0]} of ${slice[1]}`;
    this.drawLengths(at);
  }

  get axes() {
    return [0, 1, 2].filter((axis) => axis !== this.axis);
  }

  drawLengths(at) {
    this.overlay.replaceChildren();
    for (const { from, to, axis } of this.lengths) {
      if (axis !== this.axis || Math.abs(from[axis] - at[axis]) > 0.5 / this.counts[axis]) continue;
      const [a, b] = [this.onScreen(from), this.onScreen(to)];
      this.overlay.append(
        shape("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }),
        ...[a, b].map(([cx, cy]) => shape("circle", { cx, cy, r: 3 })),
      );
      const text = shape("text", { x: Math.max(a[0], b[0]) + 8, y: (a[0] > b[0] ? a[1] : b[1]) + 4 });
      text.textContent = `${this.distance(from, to).toFixed(1)} mm`;
      this.overlay.append(text);
    }
  }

  onScreen(at) {
    const [across, along] = this.axes;
    const { leftTopWidthHeight: tile, leftTopMM, fovMM } = this.nv.screenSlices[0];
    const mm = this.nv.frac2mm(at);
    const x = (mm[across] - leftTopMM[0]) / fovMM[0];
    const y = (mm[along] - leftTopMM[1]) / fovMM[1];
    const scale = this.canvas.clientWidth / this.canvas.width;
    return [(tile[0] + x * tile[2]) * scale, (tile[1] + (1 - y) * tile[3]) * scale];
  }
}

/** From 0 to what half a percent of the voxels that are not 0 exceed. */
function firstWindow(values) {
  const inside = values.filter((value) => value > 0).sort();
  return [0, inside.length ? Math.max(inside[Math.floor(inside.length * 0.995)], 1) : 1];
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
