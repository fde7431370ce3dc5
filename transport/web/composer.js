/** What is to be said: the text box, its buttons, and sound files that are chosen or dropped. */

import { byId, say } from "./dom.js";
import { followDrops } from "./drops.js";
import { t } from "./i18n.js";

/**
 * Emits `say` (CustomEvent<string>), `file` (CustomEvent<File>), `stop` and `captions` (the file
 * of captions is wanted).
 */
export class Composer extends EventTarget {
  #form = /** @type {HTMLFormElement} */ (byId("say"));
  #text = /** @type {HTMLTextAreaElement} */ (byId("say-text"));
  #send = /** @type {HTMLButtonElement} */ (byId("say-send"));
  #stop = /** @type {HTMLButtonElement} */ (byId("say-stop"));
  #file = /** @type {HTMLInputElement} */ (byId("say-file"));
  #ready = false;
  #speaks = true;

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      // While a word is being composed (Chinese, Japanese), Enter chooses it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#stop.addEventListener("click", () => this.dispatchEvent(new Event("stop")));
    byId("captions-file").addEventListener("click", () => {
      this.dispatchEvent(new Event("captions"));
    });
    this.#file.addEventListener("change", () => {
      this.#take(this.#file.files);
      this.#file.value = "";
    });
    for (const place of [byId("stage"), this.#form]) {
      followDrops(
        place,
        (files) => this.#take(files),
        () => this.#ready,
      );
    }
    this.#show();
  }

  /** @param {boolean} ready Whether anything can be sent now. */
  set ready(ready) {
    this.#ready = ready;
    this.#show();
  }

  /** @param {boolean} speaks Whether the server turns text into speech. */
  set speaks(speaks) {
    this.#speaks = speaks;
    this.#show();
  }

  /** @param {boolean} busy Whether there is anything to stop. */
  set busy(busy) {
    const focused = document.activeElement === this.#stop;
    this.#stop.disabled = !busy;
    // A disabled button would keep the keys that are pressed from the page.
    if (focused && !busy) this.#send.focus();
  }

  focus() {
    this.#text.focus();
  }

  /** @param {string} text That could not be said, to be corrected. */
  giveBack(text) {
    if (!this.#text.value) this.#text.value = text;
  }

  /** Writes everything in the page's language. */
  render() {
    this.#show();
  }

  #submit() {
    const text = this.#text.value.trim();
    if (!text) this.#text.focus();
    if (!text || this.#send.disabled) return;
    this.#text.value = "";
    this.dispatchEvent(new CustomEvent("say", { detail: text }));
  }

  /** @param {FileList|null|undefined} files */
  #take(files) {
    for (const file of files ?? []) {
      this.dispatchEvent(new CustomEvent("file", { detail: file }));
    }
  }

  #show() {
    this.#text.disabled = !this.#speaks;
    this.#send.disabled = !this.#ready || !this.#speaks;
    this.#file.disabled = !this.#ready;
    say(byId("say-hint"), this.#speaks ? "" : t("say.none"));
  }
}
