/** Volume and mute. Browsers let sound begin only after a click or a key: until then it is off. */

import { byId } from "./dom.js";

const VOLUME_KEY = "avatar-server.volume";
const MUTED_KEY = "avatar-server.muted";

export class Sound {
  #picture;
  #video;
  #box = byId("sound");
  #mute = byId("mute");
  #slider = /** @type {HTMLInputElement} */ (byId("volume"));
  #unmute = byId("unmute");
  /** The user wants silence. */
  #silenced = localStorage.getItem(MUTED_KEY) === "on";
  /** The browser wants a click first. */
  #blocked = false;
  #offered = false;

  /** @param {import("./picture.js").Picture} picture */
  constructor(picture) {
    this.#picture = picture;
    this.#video = picture.video;
    this.#restore();
    this.#mute.addEventListener("click", () => this.toggle());
    this.#slider.addEventListener("input", () => this.#setVolume(this.#slider.valueAsNumber));
    this.#video.addEventListener("volumechange", () => this.#show());
    this.#video.addEventListener("playing", () => this.#begin());
    for (const gesture of ["click", "keydown"]) {
      document.addEventListener(gesture, () => {
        if (this.#blocked) this.#turnOn();
      });
    }
    this.#show();
  }

  /** @param {boolean} yes Whether there is sound to hear. */
  set offered(yes) {
    this.#offered = yes;
    this.#show();
  }

  toggle() {
    if (!this.#offered) return;
    if (!this.#video.muted) {
      this.#video.muted = true;
      this.#keepSilenced(true);
      return;
    }
    this.#keepSilenced(false);
    if (!this.#video.volume) this.#setVolume(1);
    this.#turnOn();
  }

  #restore() {
    const volume = Number.parseFloat(localStorage.getItem(VOLUME_KEY) ?? "1");
    // iPhones have no volume but that of their buttons.
    this.#video.volume = 0.5;
    this.#slider.hidden = this.#video.volume !== 0.5;
    this.#video.volume = volume >= 0 && volume <= 1 ? volume : 1;
  }

  #begin() {
    if (!this.#silenced && !this.#blocked && this.#video.muted) this.#turnOn();
  }

  async #turnOn() {
    const stream = /** @type {MediaStream|null} */ (this.#video.srcObject);
    this.#blocked = false;
    if (stream?.getAudioTracks().length && !this.#silenced) {
      this.#blocked = !(await this.#picture.unmute());
    }
    this.#show();
  }

  /** @param {number} volume */
  #setVolume(volume) {
    this.#video.volume = volume;
    localStorage.setItem(VOLUME_KEY, String(volume));
    if (volume && this.#silenced) {
      this.#keepSilenced(false);
      this.#turnOn();
    }
  }

  /** @param {boolean} yes */
  #keepSilenced(yes) {
    this.#silenced = yes;
    localStorage.setItem(MUTED_KEY, yes ? "on" : "off");
  }

  #show() {
    const { muted, volume } = this.#video;
    this.#box.hidden = !this.#offered;
    this.#unmute.hidden = !this.#offered || !this.#blocked;
    this.#mute.setAttribute("aria-pressed", String(muted || !volume));
    this.#slider.value = String(muted ? 0 : volume);
  }
}
