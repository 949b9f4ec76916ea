// Mouse and keys for the views, and measuring with either.

import { AXIAL } from "./viewer.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Controls {
  constructor(viewer) {
    this.viewer = viewer;
    this.buttons = Object.fromEntries(
      ["plane", "measure", "unmeasure", "crosshair", "reset", "reading"].map((id) => [id, document.getElementById(id)]),
    );
    this.buttons.plane.addEventListener("change", ({ target }) => viewer.turn(Number(target.value)));
    this.buttons.measure.addEventListener("click", () => this.measure(!this.measuring));
    this.buttons.unmeasure.addEventListener("click", () => this.unmeasure());
    this.buttons.crosshair.addEventListener("click", () => this.toggleCrosshair());
    this.buttons.reset.addEventListener("click", () => this.reset());
    for (const view of viewer.views) this.listen(view);
    viewer.box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    viewer.box.addEventListener("contextmenu", (event) => event.preventDefault());
    viewer.box.addEventListener("auxclick", (event) => event.preventDefault());
  }

  reset() {
    this.start();
    this.viewer.tell("reset", "");
  }

  /** As for a patient not yet seen. */
  start() {
    this.viewer.home();
    this.buttons.plane.value = AXIAL;
    this.buttons.crosshair.setAttribute("aria-pressed", "true");
    this.measure(false);
  }

  measure(on) {
    this.measuring = on;
    this.viewer.cancel();
    this.buttons.measure.setAttribute("aria-pressed", on);
    this.viewer.box.classList.toggle("measuring", on);
    this.say(on ? "Draw from end to end, or press Enter at each end." : "");
    if (on) this.viewer.box.focus();
  }

  unmeasure() {
    this.viewer.unmeasure();
    this.say("");
  }

  toggleCrosshair() {
    this.viewer.toggleCrosshair();
    this.buttons.crosshair.setAttribute("aria-pressed", this.viewer.crosshair);
  }

  /** A key pressed outside fields; true if it is one of ours. */
  key(event) {
    const { key, shiftKey, ctrlKey } = event;
    const { viewer } = this;
    if (event.altKey || event.metaKey || (ctrlKey && !ARROWS[key])) return false;
    if (ARROWS[key]) {
      const [right, up] = ARROWS[key];
      if (ctrlKey) viewer.panBy(right * 15, -up * 15);
      else if (shiftKey) viewer.windowBy(right * 0.05, up * 0.05);
      else if (this.measuring) this.stepTo(right, up);
      else if (up) viewer.scroll(up);
      else return false;
    } else if (key === "PageUp") viewer.scroll(5);
    else if (key === "PageDown") viewer.scroll(-5);
    else if (key === "+" || key === "=") viewer.zoomBy(1.25);
    else if (key === "-") viewer.zoomBy(1 / 1.25);
    else if (viewer.views[Number(key) - 1]) viewer.enlarge(viewer.views[Number(key) - 1]);
    else if (key === "Escape") this.escape();
    else if (key === "Enter" && this.measuring && document.activeElement === viewer.box) this.mark();
    else if (key === "Delete") this.unmeasure();
    else if (key.toLowerCase() === "m") this.measure(!this.measuring);
    else if (key.toLowerCase() === "x") this.toggleCrosshair();
    else if (key.toLowerCase() === "r") this.reset();
    else return false;
    return true;
  }

  escape() {
    if (this.measuring) this.measure(false);
    else if (this.viewer.enlarged) this.viewer.enlarge(null);
  }

  /** Set one end of a distance at the crosshair. */
  mark() {
    const { begun, active, at } = this.viewer;
    if (begun) this.finish();
    else this.viewer.begin(active, at);
  }

  stepTo(right, up) {
    this.viewer.step(right, up);
    this.viewer.stretch(this.viewer.at);
  }

  finish() {
    const words = this.viewer.finish();
    if (words) this.say(words);
  }

  say(words) {
    this.buttons.reading.textContent = words;
  }

  wheel(event) {
    event.preventDefault();
    if (!this.viewer.counts) return;
    if (event.ctrlKey) this.viewer.zoomBy(event.deltaY < 0 ? 1.25 : 1 / 1.25);
    else if (event.deltaY) this.viewer.scroll(event.deltaY < 0 ? 1 : -1);
  }

  listen(view) {
    const { figure } = view;
    figure.addEventListener("dblclick", () => !this.measuring && this.viewer.enlarge(view));
    figure.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      if (!this.viewer.counts) return;
      this.viewer.box.focus();
      this.viewer.activate(view);
      const { drag, release } = this.dragOf(event, view);
      drag(event);
      figure.setPointerCapture(event.pointerId);
      figure.onpointermove = drag;
      figure.onpointerup = figure.onpointercancel = () => {
        figure.onpointermove = figure.onpointerup = figure.onpointercancel = null;
        release?.();
      };
    });
  }

  /** What moving the mouse does, and letting go, by the button that is down. */
  dragOf(event, view) {
    const { viewer } = this;
    let [x, y] = [event.clientX, event.clientY];
    const moved = (next) => {
      const by = [next.clientX - x, next.clientY - y];
      [x, y] = [next.clientX, next.clientY];
      return by;
    };
    if (event.button === 2) {
      return {
        drag: (next) => {
          const [right, down] = moved(next);
          if (right || down) viewer.windowBy(right / 250, -down / 250);
        },
      };
    }
    if (event.button === 1 || event.shiftKey) {
      return {
        drag: (next) => {
          const [right, down] = moved(next);
          if (right || down) viewer.panBy(right, down, view);
        },
      };
    }
    const under = (next) => view.under(next.clientX, next.clientY)?.with(viewer.axis, viewer.at[viewer.axis]);
    if (this.measuring) return this.drawing(view, under(event), under);
    return {
      drag: (next) => {
        const at = under(next);
        if (at) viewer.point(at);
      },
    };
  }

  /** Draw a distance, unless a key or the wheel takes it back or ends it before the mouse does. */
  drawing(view, from, under) {
    const { viewer } = this;
    const begun = from ? viewer.begin(view, from) : null;
    const going = () => begun && viewer.begun === begun;
    return {
      drag: (next) => {
        const to = going() && under(next);
        if (to) viewer.stretch(to);
      },
      release: () => going() && this.finish(),
    };
  }
}
