// The page of a reader: asks the server what is next, shows its images, takes the report.
//
// Content security policy: beside default-src 'self', NiiVue (vendor/) needs img-src 'self' data: because its font is an
// image within its file. Nothing needs a worker, WebAssembly, eval, or inline script or style; nothing else is fetched.

import { bytes, call, note, Refused, signOut } from "./server.js";
import { Controls } from "./controls.js";
import { copies, drop, keep, place } from "./copies.js";
import { Draft, reason, same, savedReport } from "./draft.js";
import { inWords, ReportForm } from "./form.js";
import { Viewer } from "./viewer.js";

const find = (selector) => document.querySelector(selector);
const [work, message, pause, paused, confirmation] = ["#work", "#message", "#pause", "#paused", "#confirm"].map(find);
const PAUSED = "paused";
const LATER = 1000;
let viewer, controls, form, draft, again, rest;
const resting = new Map(); // by action what is noted when the hand rests

/** Ask where the reader is and show that. */
async function next() {
  tell("Loading", "Asking the server.");
  try {
    await arrive(await (await call("GET", "/api/progress")).json());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) location.assign("/");
    else tell("The server cannot be reached", "What was typed is kept on this computer.", "Try again", next);
  }
}

async function arrive(progress) {
  const { sitting, sittings, done, total, current, opens } = progress;
  const each = total / sittings;
  find("#progress").textContent = current
    ? `Sitting ${sitting} of ${sittings}, patient ${done - (sitting - 1) * each + 1} of ${each}`
    : `${done} of ${total} reports submitted`;
  if (progress.closed) tell("The study is closed", "Thank you. There is nothing more to report.");
  else if (progress.finished) tell("All done", "Thank you. All your reports are submitted.");
  else if (current) await open(current, progress);
  else {
    const date = new Date(opens).toLocaleString([], { dateStyle: "full", timeStyle: "short" });
    tell("This sitting is done", `The next sitting opens on ${date}. You may close this page.`, "Look again", next);
  }
}

async function open(item, progress) {
  if (!viewer) build(progress);
  try {
    begin(item, await savedReport(item));
    await showImages(item, progress.sequences);
  } catch (error) {
    if (!(error instanceof Refused)) return cannotDraw(error.message);
    if (error.status === 401) return location.assign("/");
    return tell("The images could not be loaded", `Found that ${error.message}. Check the connection.`, "Try again", next);
  }
  pause.disabled = false;
  if (sessionStorage.getItem(PAUSED) === item) paused.showModal();
  else find("#views").focus();
}

/** Start from what the server has, and offer what it has not. */
function begin(item, saved) {
  find("#newer").hidden = true;
  goOn(item, saved);
  offerCopy(item);
}

function goOn(item, { report, revision }) {
  draft = new Draft(item, revision, say, refused);
  form.report = report;
  say(Object.values(report).some(Boolean) ? "saved before" : "nothing to save yet", true);
}

async function showImages(item, sequences) {
  const files = new Map();
  work.hidden = true;
  viewer.clear();
  const ready = (viewer.ready ??= viewer.start()); // while the images come
  for (const [index, name] of sequences.entries()) {
    tell("Loading images", `${index + 1} of ${sequences.length}`);
    files.set(name, await bytes(`/api/items/${item}/${name}.nii`));
  }
  tell("Loading images", "Drawing them.");
  await ready;
  message.hidden = true;
  work.hidden = false;
  await viewer.show(files);
  controls.start();
}

function cannotDraw(cause) {
  const advice = "Use a current Firefox, Chrome or Edge on a computer with WebGL 2. What was typed is kept.";
  tell("The images cannot be drawn", `${advice} (${cause})`, "Load the page again", () => location.reload());
}

function build({ sequences, types, grades }) {
  viewer = new Viewer(find("#views"), sequences, viewed);
  controls = new Controls(viewer);
  form = new ReportForm(find("#report"), types, grades, () => draft.change(form.report));
  viewer.box.addEventListener("webglcontextlost", () => cannotDraw("the graphics were lost"), true);
}

/** Offer the newest text of this computer that the form has not; it is kept until the reader has chosen. */
function offerCopy(item) {
  const shown = form.report;
  const others = copies(item).filter((copy) => copy.place !== draft.place);
  for (const copy of others) if (same(shown, copy.report)) drop(copy.place);
  const kept = others.find((copy) => !same(shown, copy.report));
  find("#offer").hidden = true;
  if (!kept) return;
  const choose = (used) => {
    if (used) {
      if (!same(shown, form.report)) keep(place(item), form.report); // typed meanwhile: offered in turn
      draft.change((form.report = kept.report));
    }
    drop(kept.place);
    offerCopy(item);
  };
  const time = new Date(kept.at).toLocaleTimeString("en-GB");
  const words = `This computer has a text of ${time} that was not saved.`;
  offer("#offer", words, kept.report, () => choose(true), () => choose(false));
}

/** Offer the text that another page has saved since this one began; the one of this page stays in the form. */
function offerNewer() {
  const { item, newer } = draft;
  const use = () => {
    draft.forget();
    goOn(item, newer);
  };
  say("not saved: choose which text to go on with; a copy is kept on this computer", false);
  const words = "Another page of yours has saved this text. The one below is not saved.";
  offer("#newer", words, newer.report, use, () => draft.insist());
}

/** Show a text above the form, with a button to use it and one not to. */
function offer(box, words, report, use, drop) {
  find(box).hidden = false;
  find(`${box} p`).textContent = words;
  find(`${box} pre`).textContent = inWords(report);
  find(box).scrollIntoView({ block: "nearest" });
  find(box).onclick = ({ target }) => {
    if (!target.value) return;
    find(box).hidden = true;
    if (target.value === "use") use();
    else drop();
    find("#findings").focus();
  };
}

/** Note a measurement and what came before it at once, other changes of the views when the hand rests. */
function viewed(action, detail) {
  resting.delete(action); // the last in line
  resting.set(action, detail);
  clearTimeout(rest);
  if (action === "measure") rested();
  else rest = setTimeout(rested, LATER);
}

function rested() {
  clearTimeout(rest);
  for (const [action, detail] of resting) note(action, detail);
  resting.clear();
}

function say(words, calm) {
  find("#saved").textContent = words;
  find("#saved").classList.toggle("warning", !calm);
}

function refused(status) {
  if (status === 412) return offerNewer();
  if (status === 409) draft.stop();
  else draft.rest(); // not open to whoever is signed in now; it may be to its reader, later
  if (status === 401) {
    tell("You are signed out", "Your text is kept on this computer; sign in again to go on.", "Sign in", () => location.assign("/"));
  } else next();
}

/** Show a message in the place of the images and the form, with a button or without. */
function tell(title, words, button = "", action = null) {
  work.hidden = true;
  message.hidden = false;
  pause.disabled = true;
  message.querySelector("h2").textContent = title;
  message.querySelector("p").textContent = words;
  const choice = message.querySelector("button");
  choice.textContent = button;
  choice.hidden = !button;
  again = action;
  if (button) choice.focus();
}

function ask() {
  const choice = find(".offer:not([hidden]) button");
  if (choice) {
    say("Choose first which text to go on with.", false);
    return choice.focus();
  }
  const { missing } = form;
  if (missing) {
    say(missing.dataset.missing, false);
    return missing.focus();
  }
  const gaps = form.gaps.map((words) => Object.assign(document.createElement("li"), { textContent: words }));
  confirmation.querySelector("ul").replaceChildren(...gaps);
  confirmation.returnValue = "";
  confirmation.showModal();
}

async function submit() {
  const { item } = draft;
  rested();
  await draft.flush();
  if (work.hidden || draft.newer) return; // the server refused the text, and that is told
  tell("Submitting", "The report is on its way.");
  try {
    await call("POST", `/api/items/${item}/submit`, form.report, draft.revision);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if ([401, 404, 409].includes(error.status)) return refused(error.status);
    [work.hidden, message.hidden, pause.disabled] = [false, true, false];
    if (error.status === 412) {
      draft.change(form.report); // which is refused as well, and both texts are shown
      return draft.flush();
    }
    return say(`not submitted: ${reason(error) ?? `${error.message}; try again`}`, false);
  }
  draft.stop();
  viewer.clear();
  await next();
}

async function cover() {
  sessionStorage.setItem(PAUSED, draft.item);
  paused.showModal();
  note("pause");
  await draft.flush();
}

function uncover() {
  sessionStorage.removeItem(PAUSED);
  note("resume");
  find("#views").focus();
}

function press(event) {
  if (event.target.closest("dialog")) return;
  if (event.target.closest("input, textarea, select, pre")) { // a text that is offered has the arrow keys to itself
    if (event.key === "Escape" && !work.hidden) find("#views").focus();
    return;
  }
  if (event.key === "?") find("#keys").showModal();
  else if (work.hidden || !viewer.counts) return;
  else if (controls.key(event)) event.preventDefault();
  else if (event.ctrlKey || event.altKey || event.metaKey) return;
  else if (event.key.toLowerCase() === "p") cover();
  else if (event.key.toLowerCase() === "f") {
    find("#findings").focus();
    event.preventDefault();
  }
}

message.querySelector("button").addEventListener("click", () => again());
find("#help").addEventListener("click", () => find("#keys").showModal());
find("#signout").addEventListener("click", async () => {
  await draft?.flush();
  await signOut();
});
find("#report").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
confirmation.addEventListener("close", () => confirmation.returnValue === "submit" && submit());
pause.addEventListener("click", cover);
paused.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
paused.addEventListener("close", uncover);
document.addEventListener("keydown", press);
window.addEventListener("beforeunload", (event) => draft?.unsaved && event.preventDefault());
next();
