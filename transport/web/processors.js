/** The buttons for what is done to the camera's picture. */

import { byId, el } from "./dom.js";
import { t } from "./i18n.js";

/** In the order in which they are applied, and what they are called. */
const PROCESSORS = ["mirror", "face_swap", "anonymise", "background_blur", "overlay"];

/** Emits `change` when a button was pressed; `chosen` has changed by then. */
export class ProcessorButtons extends EventTarget {
  /** @type {Map<string, HTMLElement>} */
  #buttons = new Map();
  #chosen = new Set();

  constructor() {
    super();
    for (const [index, name] of PROCESSORS.entries()) this.#add(name, String(index + 1));
  }

  /** Names in the order in which they are applied. @returns {string[]} */
  get chosen() {
    return PROCESSORS.filter((name) => this.#chosen.has(name));
  }

  /** @param {string[]} names */
  set chosen(names) {
    this.#chosen = new Set(names);
    for (const [name, button] of this.#buttons) {
      button.setAttribute("aria-pressed", String(this.#chosen.has(name)));
    }
  }

  /**
   * Switches one on or off; nobody is told.
   * @param {string} name
   * @param {boolean} on
   */
  turn(name, on) {
    const rest = this.chosen.filter((other) => other !== name);
    this.chosen = on ? [...rest, name] : rest;
  }

  /** @param {boolean} busy Whether the server is still to carry out the last change. */
  set busy(busy) {
    byId("processors").setAttribute("aria-busy", String(busy));
  }

  /** @param {number} n As if the n-th button had been pressed, counting from 1. */
  press(n) {
    this.#buttons.get(PROCESSORS[n - 1])?.click();
  }

  /** Writes everything in the page's language. */
  render() {
    for (const [name, button] of this.#buttons) {
      button.firstElementChild?.replaceChildren(t(`processor.${name}`));
      button.title = t(`processor.${name}.does`);
    }
  }

  /**
   * @param {string} name
   * @param {string} key
   */
  #add(name, key) {
    const button = el(
      "button",
      {
        type: "button",
        "data-testid": `processor-${name}`,
        "aria-pressed": "false",
        "aria-keyshortcuts": key,
      },
      el("span"),
      el("kbd", { "aria-hidden": "true" }, key),
    );
    button.addEventListener("click", () => {
      this.turn(name, !this.#chosen.has(name));
      this.dispatchEvent(new Event("change"));
    });
    this.#buttons.set(name, button);
    byId("processors").append(button);
  }
}
