// Linked views of the sequences of one patient: same slice, crosshair, zoom and pan in all; window / level for each.

import { View } from "./view.js";

export const AXIAL = 2;
const PLANES = ["sagittal", "coronal", "axial"];
const MOST_ZOOM = 12;

export class Viewer {
  /** `tell(action, detail)` is called with what the reader did. */
  constructor(box, sequences, tell) {
    this.box = box;
    this.tell = tell;
    this.enlarged = null;
    this.begun = null; // the distance that has no second end yet, and its view
    this.views = sequences.map((name, index) => new View(name, index + 1, box));
    this.active = this.views[0];
    this.due = false;
    this.home();
  }

  /** Ready the views for images. Raises Error where the browser has no WebGL 2. */
  async start() {
    await Promise.all(this.views.map((view) => view.start()));
    const resized = new ResizeObserver(() => this.draw()); // after those of NiiVue, which fit the canvases first
    for (const { figure } of this.views) resized.observe(figure);
  }

  /** Show other images: by sequence the bytes of a NIfTI file. */
  async show(files) {
    for (const view of this.views) await view.show(files.get(view.name));
    this.counts = this.views[0].counts;
    this.alone(null);
    this.home();
  }

  /** Forget the images. */
  clear() {
    for (const view of this.views) view.clear();
    this.begun = null;
    this.counts = null;
  }

  /** Middle slice, no zoom, windows as at first. */
  home() {
    this.cancel();
    this.axis = AXIAL;
    this.at = [0.5, 0.5, 0.5];
    this.pan = [0, 0, 0];
    this.zoom = 1;
    this.crosshair = true;
    for (const view of this.views) view.resetWindow();
    if (this.counts) this.moveTo(this.at);
    this.activate(this.views[0]);
  }

  /** The slice shown, from 1, and how many there are. */
  get slice() {
    const count = this.counts[this.axis];
    return [Math.min(Math.floor(this.at[this.axis] * count), count - 1) + 1, count];
  }

  /** Move the crosshair to fractions of the volume, on a slice's middle. */
  moveTo(at) {
    this.at = at.map((part) => Math.min(Math.max(part, 0), 1));
    const [slice, count] = this.slice;
    this.at[this.axis] = (slice - 0.5) / count;
    this.draw();
  }

  scroll(steps) {
    const [slice, count] = this.slice;
    const next = Math.min(Math.max(slice + steps, 1), count);
    if (next === slice) return;
    this.cancel();
    this.moveTo(this.at.with(this.axis, (next - 0.5) / count));
    this.tell("scroll", `${PLANES[this.axis]} ${next}`);
  }

  /** Move the crosshair within the slice, by voxels to the right and up on the screen. */
  step(right, up) {
    const [across, along] = [0, 1, 2].filter((axis) => axis !== this.axis);
    const mirrored = across === 0 ? -right : right; // the patient's left is on the right
    const at = this.at.with(across, this.at[across] + mirrored / this.counts[across]);
    this.point(at.with(along, at[along] + up / this.counts[along]));
  }

  /** Move the crosshair, as the reader asks. */
  point(at) {
    this.moveTo(at);
    this.tell("point", `${this.at.map((part) => (100 * part).toFixed(1)).join(" ")} %`);
  }

  toggleCrosshair() {
    this.crosshair = !this.crosshair;
    this.draw();
    this.tell("crosshair", this.crosshair ? "shown" : "hidden");
  }

  turn(axis) {
    this.cancel();
    this.axis = axis;
    this.moveTo(this.at);
    this.tell("plane", PLANES[axis]);
  }

  zoomBy(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    if (this.zoom === 1) this.pan = [0, 0, 0];
    this.draw();
    this.tell("zoom", this.zoom.toFixed(2));
  }

  /** Move the images by pixels of a view. */
  panBy(right, down, view = this.active) {
    const moved = view.millimetres(right, down);
    this.pan = this.pan.map((part, axis) => part + this.zoom * moved[axis]);
    this.draw();
    this.tell("pan", `${this.pan.map(Math.round).join(" ")} mm`);
  }

  /** Change the window of the active view by parts of its first width. */
  windowBy(wider, brighter) {
    this.active.windowBy(wider, brighter);
    this.draw();
    this.tell("window", `${this.active.name} ${this.active.window}`);
  }

  activate(view) {
    if (view !== this.active) this.cancel();
    this.active = view;
    for (const each of this.views) each.mark(each === view);
    this.draw();
  }

  /** Show one view alone; null or the same again shows all. */
  enlarge(view) {
    this.alone(view === this.enlarged ? null : view);
    this.tell("enlarge", this.enlarged?.name ?? "none");
  }

  alone(view) {
    this.enlarged = view;
    this.box.classList.toggle("single", this.enlarged !== null);
    for (const each of this.views) each.figure.hidden = this.enlarged !== null && each !== this.enlarged;
    if (this.enlarged) this.activate(this.enlarged);
    this.draw();
  }

  /** Begin a distance on the slice shown; another slice or another view takes it back. */
  begin(view, at) {
    this.cancel();
    this.begun = { view, from: at, to: at, axis: this.axis };
    view.lengths.push(this.begun);
    this.draw();
    return this.begun;
  }

  /** Move the second end of the distance begun, if one is. */
  stretch(to) {
    if (!this.begun) return;
    this.begun.to = to;
    this.draw();
  }

  /** The distance begun, in words. One without length is taken back, and there are no words. */
  finish() {
    const { view, from, to } = this.begun;
    if (from.every((part, axis) => part === to[axis])) return this.cancel();
    this.begun = null;
    const words = `${view.name} ${view.distance(from, to).toFixed(1)} mm`;
    this.tell("measure", words);
    return words;
  }

  /** Take back the distance begun, if one is. */
  cancel() {
    if (!this.begun) return;
    const { begun } = this;
    begun.view.lengths = begun.view.lengths.filter((length) => length !== begun);
    this.begun = null;
    this.draw();
  }

  unmeasure() {
    this.begun = null;
    for (const view of this.views) view.lengths = [];
    this.draw();
    this.tell("unmeasure", "");
  }

  /** Draw with the next frame, once however often it is asked for; what has no size yet when it is given one. */
  draw() {
    if (this.due || !this.counts) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      if (!this.counts) return;
      for (const view of this.views) if (!view.figure.hidden && view.canvas.width) view.draw(this);
    });
  }
}
