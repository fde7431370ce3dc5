/** The button that is held to talk: the microphone's sound goes to the avatar while it is down. */

import { byId, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { openMicrophone } from "./microphone.js";
import { PcmSocket } from "./pcm-socket.js";
import { Problem } from "./problem.js";

/** @typedef {"off"|"opening"|"on"} TalkState */

/** Emits `talking` when the microphone is on, and `trouble` (CustomEvent<Problem>). */
export class PushToTalk extends EventTarget {
  #button = /** @type {HTMLButtonElement} */ (byId("talk"));
  /** @type {PcmSocket|null} */
  #socket = null;
  /** Aborted when the button is let go. @type {AbortController|null} */
  #held = null;
  /** @type {string|null} */
  #address = null;

  constructor() {
    super();
    this.#followPointer();
    this.#followKeys();
    window.addEventListener("blur", () => this.#release());
    this.#show("off");
  }

  /** @param {string|null} address Where the sound goes; null for nowhere. */
  set address(address) {
    if (address === this.#address) return;
    this.#address = address;
    this.#button.disabled = address === null;
    this.#release();
    this.#socket?.close();
    this.#socket = null;
  }

  /** Writes everything in the page's language. */
  render() {
    const state = /** @type {TalkState} */ (this.#button.dataset.state);
    say(byId("talk-label"), t(`talk.${state}`));
  }

  #followPointer() {
    this.#button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#button.setPointerCapture(event.pointerId);
      this.#press();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      this.#button.addEventListener(name, () => this.#release());
    }
    // Phones show a menu for what is held.
    this.#button.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  #followKeys() {
    const holds = (/** @type {KeyboardEvent} */ { key }) => key === " " || key === "Enter";
    this.#button.addEventListener("keydown", (event) => {
      if (!holds(event)) return;
      event.preventDefault();
      if (!event.repeat) this.#press();
    });
    this.#button.addEventListener("keyup", (event) => {
      if (holds(event)) this.#release();
    });
    this.#button.addEventListener("blur", () => this.#release());
  }

  async #press() {
    if (this.#held || this.#address === null) return;
    const held = new AbortController();
    this.#held = held;
    this.#show("opening");
    try {
      const socket = this.#connect(this.#address);
      await socket.opened;
      if (!held.signal.aborted) await this.#talk(socket, held.signal);
    } catch (error) {
      if (!held.signal.aborted) this.#fail(Problem.from(error));
    }
  }

  /**
   * @param {PcmSocket} socket
   * @param {AbortSignal} released
   */
  async #talk(socket, released) {
    const microphone = await openMicrophone();
    if (released.aborted) {
      microphone.stop();
      return;
    }
    socket.begin(microphone.rate);
    on(microphone, "pcm", (/** @type {ArrayBuffer} */ pcm) => socket.send(pcm));
    microphone.addEventListener("lost", () => {
      if (!released.aborted) this.#fail(new Problem("MicrophoneLost"));
    });
    released.addEventListener("abort", () => {
      microphone.stop();
      socket.end();
    });
    this.#show("on");
    this.dispatchEvent(new Event("talking"));
  }

  /** @param {string} address */
  #connect(address) {
    if (this.#socket?.usable) return this.#socket;
    const socket = new PcmSocket(address);
    this.#socket = socket;
    on(socket, "trouble", (/** @type {Problem} */ problem) => {
      const lostIdle = problem.kind === "SoundNotSent" && !this.#held;
      if (this.#socket === socket && !lostIdle) this.#fail(problem);
    });
    return socket;
  }

  #release() {
    if (!this.#held) return;
    this.#held.abort();
    this.#held = null;
    this.#show("off");
  }

  /** @param {Problem} problem */
  #fail(problem) {
    this.#release();
    this.dispatchEvent(new CustomEvent("trouble", { detail: problem }));
  }

  /** @param {TalkState} state */
  #show(state) {
    this.#button.dataset.state = state;
    this.#button.setAttribute("aria-pressed", String(state === "on"));
    this.render();
  }
}
