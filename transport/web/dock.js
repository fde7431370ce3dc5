/** The buttons under the stage: the avatar's states and actions, connect and disconnect. */

import { byId, el } from "./dom.js";
import { stateLabel, t } from "./i18n.js";

/** A state that isn't reached after this long is no longer shown as on its way. */
const BUSY_MS = 3000;

/**
 * Emits `ask` (CustomEvent<{name, at}>: a state or action and when its button was pressed),
 * `connect` and `disconnect`.
 */
export class Dock extends EventTarget {
  #connect = /** @type {HTMLButtonElement} */ (byId("connect"));
  #disconnect = /** @type {HTMLButtonElement} */ (byId("disconnect"));
  /** @type {Map<string, HTMLButtonElement>} */
  #buttons = new Map();
  #shape = "";
  /** @type {import("./session.js").Phase} */
  #phase = "idle";

  constructor() {
    super();
    this.#connect.addEventListener("click", () => this.dispatchEvent(new Event("connect")));
    this.#disconnect.addEventListener("click", () => this.dispatchEvent(new Event("disconnect")));
    makeRoom(/** @type {HTMLElement} */ (this.#connect.closest(".dock")));
  }

  /** @param {import("./api.js").Avatar|undefined} avatar */
  showAvatar(avatar) {
    this.#connect.disabled = !avatar || avatar.status === "failed";
    const states = avatar?.states ?? [];
    const actions = avatar?.actions ?? [];
    const shape = JSON.stringify([states, actions]);
    if (shape === this.#shape) return;
    this.#shape = shape;
    this.#buttons.clear();
    byId("states").replaceChildren(...states.map((name) => this.#button("state", name)));
    byId("actions").replaceChildren(...actions.map((name) => this.#button("action", name)));
    byId("actions").hidden = actions.length === 0;
    this.setPhase(this.#phase);
  }

  /** @param {import("./session.js").Phase} phase */
  setPhase(phase) {
    this.#phase = phase;
    const active = phase !== "idle" && phase !== "failed";
    const focused = document.activeElement;
    this.#connect.hidden = active;
    this.#disconnect.hidden = !active;
    this.#label();
    // The button that was pressed is gone: the one in its place takes the focus.
    if (active && focused === this.#connect) this.#disconnect.focus();
    if (!active && focused === this.#disconnect) this.#connect.focus();
    for (const button of this.#buttons.values()) button.disabled = phase !== "connected";
    if (phase !== "connected") this.setCurrent(null);
  }

  /** @param {string|null} name The state or action on the screen. */
  setCurrent(name) {
    for (const [key, button] of this.#buttons) {
      button.setAttribute("aria-pressed", String(key === name));
      if (key === name || name === null) button.removeAttribute("aria-busy");
    }
  }

  /** @param {string} name A state or action that will not come. */
  release(name) {
    this.#buttons.get(name)?.removeAttribute("aria-busy");
  }

  /** Writes everything in the page's language. */
  render() {
    for (const [name, button] of this.#buttons) {
      button.firstElementChild?.replaceChildren(stateLabel(name));
    }
    this.#label();
  }

  /**
   * As if the n-th state or action had been pressed, counting from 1.
   * @param {number} n
   * @param {number} at
   */
  press(n, at) {
    const name = [...this.#buttons.keys()][n - 1];
    if (name !== undefined && this.#phase === "connected") this.#ask(name, at);
  }

  /** Connects, or disconnects when connected. */
  toggle() {
    (this.#connect.hidden ? this.#disconnect : this.#connect).click();
  }

  #label() {
    const key = this.#phase === "connecting" ? "dock.cancel" : "dock.disconnect";
    byId("disconnect-label").textContent = t(key);
  }

  /**
   * @param {"state"|"action"} role
   * @param {string} name
   */
  #button(role, name) {
    const key = String(this.#buttons.size + 1);
    const button = /** @type {HTMLButtonElement} */ (
      el(
        "button",
        { type: "button", "data-testid": `${role}-${name}`, "aria-pressed": "false" },
        el("span", {}, stateLabel(name)),
      )
    );
    if (Number(key) <= 9) {
      button.append(el("kbd", { "aria-hidden": "true" }, key));
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.addEventListener("click", (event) => this.#ask(name, event.timeStamp));
    this.#buttons.set(name, button);
    return button;
  }

  /**
   * @param {string} name
   * @param {number} at
   */
  #ask(name, at) {
    const button = this.#buttons.get(name);
    button?.setAttribute("aria-busy", "true");
    setTimeout(() => this.release(name), BUSY_MS);
    this.dispatchEvent(new CustomEvent("ask", { detail: { name, at } }));
  }
}

/**
 * On phones a dock lies over the page's end, which must leave room for it.
 * @param {HTMLElement} dock
 */
export function makeRoom(dock) {
  new ResizeObserver(() => {
    dock.parentElement?.style.setProperty("--dock-height", `${dock.offsetHeight}px`);
  }).observe(dock);
}
