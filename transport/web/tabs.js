/** The tabs of the page, after the ARIA pattern of that name; the address keeps which one is open. */

import { byId } from "./dom.js";

/**
 * @typedef {object} View
 * @property {() => void} enter
 * @property {() => void} leave
 */

/**
 * @template {View} V
 */
export class Tabs {
  #views;
  #names;
  /** @type {string} */
  #current;

  /**
   * @param {Record<string, V>} views By name; the first one is shown where the address names none.
   *   `tab-NAME` is the tab's id, its panel is what it controls.
   */
  constructor(views) {
    this.#views = views;
    this.#names = Object.keys(views);
    this.#current = this.#named() ?? this.#names[0];
    for (const name of this.#names) {
      tab(name).addEventListener("click", () => this.#choose(name));
      tab(name).addEventListener("keydown", (event) => this.#move(event));
    }
    window.addEventListener("hashchange", () => this.#show(this.#named() ?? this.#names[0]));
    this.#mark();
    this.current.enter();
  }

  /** The view that is on the screen. */
  get current() {
    return this.#views[this.#current];
  }

  /** @returns {string|undefined} */
  #named() {
    return this.#names.find((name) => location.hash === `#${name}`);
  }

  /** @param {string} name */
  #choose(name) {
    if (name === this.#current) return;
    history.pushState(null, "", `#${name}`);
    this.#show(name);
  }

  /** @param {string} name */
  #show(name) {
    if (name === this.#current) return;
    this.current.leave();
    this.#current = name;
    this.#mark();
    this.current.enter();
  }

  #mark() {
    for (const name of this.#names) {
      const open = name === this.#current;
      tab(name).setAttribute("aria-selected", String(open));
      tab(name).tabIndex = open ? 0 : -1;
      byId(tab(name).getAttribute("aria-controls") ?? "").hidden = !open;
    }
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1 });
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const count = this.#names.length;
    const next = this.#names[(this.#names.indexOf(this.#current) + step + count) % count];
    this.#choose(next);
    tab(next).focus();
  }
}

/** @param {string} name */
function tab(name) {
  return byId(`tab-${name}`);
}
