// Keeping what a reader types: on the server one second after the last key, or five after the first for who types on, and
// on this computer until that is done.

import { copies, drop, keep, place } from "./copies.js";
import { call, Refused } from "./server.js";

const AFTER_TYPING = 1000;
const AFTER_FIRST = 5000;
const AGAIN = 3000;

/** The report the server has, and its revision. Raises Refused. */
export async function savedReport(item) {
  const answer = await call("GET", path(item));
  return { report: await answer.json(), revision: answer.headers.get("ETag") };
}

export function same(one, other) {
  return Object.keys(one).every((field) => one[field] === other[field]);
}

export class Draft {
  /**
   * `revision` is of what the server has now; `say(words, calm)` shows the state; `refused(status)` is called when the
   * server will not take it: 401 (signed out), 404 (not open to this reader now), 409 (submitted, or the study has
   * ended), 412 (another page has saved the text `newer`: nothing is saved from here until the reader has chosen).
   */
  constructor(item, revision, say, refused) {
    this.item = item;
    this.place = place(item);
    this.revision = revision;
    this.say = say;
    this.refused = refused;
    this.newer = null;
    this.waiting = null; // what the server has not confirmed
    this.unanswered = new Set(); // of that, what was sent: it may have it all the same
    this.due = null; // when what was typed first of that is to be sent, however long the typing goes on
    this.timer = 0;
    this.sending = null;
  }

  get unsaved() {
    return this.waiting !== null;
  }

  change(report) {
    this.waiting = report;
    keep(this.place, report);
    if (this.newer) return;
    this.say("not saved yet", true);
    const now = performance.now();
    this.due ??= now + AFTER_FIRST;
    this.later(Math.min(AFTER_TYPING, this.due - now));
  }

  /** Save now what is not saved. */
  async flush() {
    clearTimeout(this.timer);
    while (this.sending) await this.sending; // one after the other, or an older text could come last
    if (!this.unsaved || this.newer) return;
    this.sending = this.send().finally(() => (this.sending = null));
    await this.sending;
  }

  /** Save this text over the newer one, which the reader has seen. */
  insist() {
    this.revision = this.newer.revision;
    this.newer = null;
    this.later(0);
  }

  /** No more saving from here; the copy on this computer stays. */
  rest() {
    clearTimeout(this.timer);
    this.waiting = null;
  }

  /** Nor is its text wanted any more. */
  forget() {
    this.rest();
    drop(this.place);
  }

  /** Nor that of any page: the report will never be open again. */
  stop() {
    this.rest();
    for (const { place } of copies(this.item)) drop(place);
  }

  later(time) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), time);
  }

  async send() {
    const report = this.waiting;
    this.due = null;
    try {
      await this.put(report);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (this.unsaved) this.failed(error);
      return;
    }
    if (this.waiting !== report) return; // typed on meanwhile: saved with the next
    this.waiting = null;
    drop(this.place);
    this.say(`saved ${new Date().toLocaleTimeString("en-GB")}`, true);
  }

  async put(report) {
    this.unanswered.add(report);
    try {
      this.revision = (await call("PUT", path(this.item), report, this.revision)).headers.get("ETag");
      this.unanswered.clear();
    } catch (error) {
      if (error.status !== 412) throw error;
      const newest = await savedReport(this.item);
      if ([...this.unanswered].some((sent) => same(newest.report, sent))) {
        this.revision = newest.revision; // it was saved from here, only the answer was lost
        this.unanswered.clear();
        return this.put(report);
      }
      this.newer = newest;
      throw error;
    }
  }

  failed(error) {
    if ([401, 404, 409, 412].includes(error.status)) {
      this.refused(error.status);
    } else if (reason(error)) {
      this.say(`not saved: ${reason(error)}`, false);
    } else {
      this.say("not saved, trying again; a copy is kept on this computer", false);
      this.later(AGAIN);
    }
  }
}

/** What is wrong with the report itself, or undefined if the same may be taken later. */
export function reason({ status, detail }) {
  return { 413: "too long; shorten the text", 422: detail }[status];
}

function path(item) {
  return `/api/items/${item}/report`;
}
