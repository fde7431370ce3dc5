/** The face swap on the camera's tab: pictures of faces, how they are put in, what went wrong. */

import { byId, on, say } from "./dom.js";
import { followDrops } from "./drops.js";
import { FaceCards } from "./face-cards.js";
import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { SwapFaces } from "./swap-faces.js";
import { SwapLooks } from "./swap-looks.js";
import { words } from "./words.js";

/**
 * Emits `change` when the swap is to be another one, `first` when there is a face after there was
 * none, and `none` when the last one is gone.
 */
export class FaceSwap extends EventTarget {
  #root = byId("swap");
  #file = /** @type {HTMLInputElement} */ (byId("swap-file"));
  #error = byId("swap-error");
  #cards = new FaceCards();
  #looks = new SwapLooks();
  /** @type {Problem|null} */
  #problem = null;
  #count = 0;
  /** Whether the server marks swapped pictures. */
  #marked = true;
  faces;

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.faces = new SwapFaces(api);
    this.faces.addEventListener("change", () => this.#facesChanged());
    this.#looks.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    on(this.#cards, "remove", (/** @type {import("./swap-faces.js").SwapFace} */ face) => {
      this.faces.remove(face);
      // The button is gone with its card.
      this.#file.focus();
    });
    on(this.#cards, "choose", ({ face, index }) => this.faces.choose(face, index));
    this.#file.addEventListener("change", () => {
      this.#take(this.#file.files);
      this.#file.value = "";
    });
    followDrops(byId("camera-panel"), (files) => this.#take(files));
    byId("swap-dismiss").addEventListener("click", () => {
      this.tell(null);
      this.#file.focus();
    });
  }

  /** @returns {boolean} Whether there is a face to put in. */
  get possible() {
    return this.faces.ready.length > 0;
  }

  /** As a stream takes it. @returns {import("./api.js").SwapChange} */
  get wish() {
    // The other corners of the stage have buttons, rates, or the time code that is cut off.
    return { faces: this.faces.wish, mark_corner: "top_right", ...this.#looks.values };
  }

  /** Asks for a picture; only in answer to something that the user did. */
  invite() {
    this.#root.scrollIntoView({ block: "nearest" });
    this.#file.click();
  }

  /** @param {import("./api.js").SwapSettings} settings As the server has them. */
  showServers(settings) {
    this.#looks.showServers(settings);
    this.#marked = settings.mark;
    this.#writeNote();
  }

  /** @param {Problem|null} problem Null: all is well again. */
  tell(problem) {
    this.#problem = problem;
    const { title, advice, detail } = problem
      ? words(problem, "swap")
      : { title: "", advice: "", detail: "" };
    this.#error.dataset.kind = problem?.kind ?? "";
    this.#error.hidden = !problem;
    say(byId("swap-error-title"), title);
    say(byId("swap-error-advice"), advice);
    say(byId("swap-error-detail"), detail);
    if (problem) this.#error.scrollIntoView({ block: "nearest" });
  }

  /** Writes everything in the page's language. */
  render() {
    this.#cards.render();
    this.#looks.render();
    this.#writeNote();
    this.tell(this.#problem);
  }

  /** @param {FileList|null} files */
  async #take(files) {
    this.tell(null);
    // One by one: the server looks at one picture at a time.
    for (const file of [...(files ?? [])]) {
      try {
        await this.faces.add(file);
      } catch (error) {
        this.tell(Problem.from(error));
      }
    }
  }

  #facesChanged() {
    this.#cards.show(this.faces.all);
    const before = this.#count;
    this.#count = this.faces.ready.length;
    this.#looks.shown = this.#count > 0;
    this.#root.dataset.faces = String(this.faces.all.length);
    if (this.#count > 1) this.#looks.forSeveral();
    if (!before && this.#count) this.dispatchEvent(new Event("first"));
    else if (before && !this.#count) this.dispatchEvent(new Event("none"));
    else this.dispatchEvent(new Event("change"));
  }

  #writeNote() {
    say(byId("swap-note"), t(this.#marked ? "swap.marked" : "swap.unmarked"));
  }
}
