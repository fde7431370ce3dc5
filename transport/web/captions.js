/** What is being said, as text over the picture, with the word that is being heard. */

import { Cues } from "./cues.js";
import { byId, el } from "./dom.js";

const STORAGE_KEY = "avatar-server.captions";

export class Captions {
  #box = byId("captions");
  #toggle = byId("captions-toggle");
  #cues = new Cues();
  #wanted = localStorage.getItem(STORAGE_KEY) !== "off";
  /** @type {import("./cues.js").Cue|null} */
  #shown = null;
  /** @type {HTMLElement[]} */
  #words = [];
  #ticking = 0;

  constructor() {
    this.#toggle.addEventListener("click", () => this.toggle());
    this.#show();
  }

  /** @param {boolean} yes Whether there will be captions. */
  set offered(yes) {
    this.#toggle.hidden = !yes;
  }

  toggle() {
    this.#wanted = !this.#wanted;
    localStorage.setItem(STORAGE_KEY, this.#wanted ? "on" : "off");
    this.#show();
  }

  /** @param {string} utterance Is heard from now on. */
  start(utterance) {
    this.#cues.start(utterance, performance.now());
    this.#follow();
  }

  /** @param {import("./cues.js").Cue} cue */
  add(cue) {
    this.#toggle.hidden = false;
    this.#cues.add(cue, performance.now());
    this.#follow();
  }

  /** @param {string} utterance Is not heard any more. */
  drop(utterance) {
    this.#cues.drop(utterance);
    this.#follow();
  }

  clear() {
    this.#cues.clear();
    this.#follow();
  }

  #show() {
    this.#toggle.setAttribute("aria-pressed", String(this.#wanted));
    this.#box.hidden = !this.#wanted || !this.#shown;
  }

  /** Shows what is due, and goes on as long as there is something to come. */
  #follow() {
    cancelAnimationFrame(this.#ticking);
    const now = performance.now();
    const reading = this.#cues.at(now);
    this.#write(reading?.cue ?? null);
    this.#mark(reading?.word ?? -1);
    if (this.#cues.pending(now)) this.#ticking = requestAnimationFrame(() => this.#follow());
  }

  /** @param {import("./cues.js").Cue|null} cue */
  #write(cue) {
    if (cue === this.#shown) return;
    this.#shown = cue;
    this.#words = (cue?.words ?? []).map(({ text }) => el("span", {}, text));
    const parts = this.#words.flatMap((word) => [word, " "]).slice(0, -1);
    this.#box.replaceChildren(el("p", {}, ...(parts.length ? parts : [cue?.text ?? ""])));
    this.#show();
  }

  /** @param {number} current */
  #mark(current) {
    for (const [index, word] of this.#words.entries()) {
      word.classList.toggle("now", index === current);
      word.classList.toggle("ahead", index > current);
    }
    // A cue that is longer than its place follows its words.
    const word = this.#words[current];
    if (word) this.#box.scrollTop = word.offsetTop - this.#box.clientHeight / 2;
  }
}
