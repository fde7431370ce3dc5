/** What went wrong, what to do, when the next attempt comes, and one button to act at once. */

import { byId, say } from "./dom.js";
import { t } from "./i18n.js";
import { words } from "./words.js";

/**
 * @typedef {object} NoticeOptions
 * @property {"cover"|"strip"} shape Over the whole stage, or a strip that leaves the picture free.
 * @property {string} [action] Key of the button's text.
 * @property {() => void} [onAction]
 * @property {number|null} [retryAt] When the next attempt starts, by `performance.now()`.
 * @property {boolean} [retrying] The next attempt is under way.
 * @property {{share: number, text: string}} [progress] How far what is waited for has come; shown
 *   in place of the server's words.
 */

export class Notice {
  #id;
  #box;
  #button;
  #countdown;
  #stage;
  /** @type {import("./problem.js").Problem|null} */
  #problem = null;
  /** @type {NoticeOptions} */
  #options = { shape: "cover" };
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #ticking;

  /**
   * @param {string} id Of the box; its parts have ids that begin with it.
   * @param {HTMLElement} stage What the box lies over.
   */
  constructor(id, stage) {
    this.#id = id;
    this.#stage = stage;
    this.#box = byId(id);
    this.#button = byId(`${id}-action`);
    this.#countdown = byId(`${id}-countdown`);
    this.#button.addEventListener("click", () => this.#options.onAction?.());
  }

  /** @returns {"cover"|"strip"|null} The shape of what is being shown. */
  get shape() {
    return this.#problem && this.#options.shape;
  }

  /**
   * @param {import("./problem.js").Problem} problem
   * @param {NoticeOptions} options
   */
  show(problem, options) {
    this.#problem = problem;
    this.#options = options;
    clearInterval(this.#ticking);
    if (options.retryAt) this.#ticking = setInterval(() => this.#count(), 250);
    this.render();
  }

  hide() {
    this.#problem = null;
    clearInterval(this.#ticking);
    // The focus must not fall back to the page's beginning with the button that had it.
    if (document.activeElement === this.#button) this.#stage.focus();
    this.#box.hidden = true;
  }

  /** Writes everything in the page's language. */
  render() {
    if (!this.#problem) return;
    const { shape, action, progress } = this.#options;
    const { title, advice, detail } = words(this.#problem);
    this.#box.dataset.shape = shape;
    this.#box.dataset.kind = this.#problem.kind;
    this.#box.hidden = false;
    say(byId(`${this.#id}-title`), title);
    say(byId(`${this.#id}-advice`), advice);
    say(byId(`${this.#id}-detail`), progress?.text ?? detail);
    this.#showProgress(progress?.share);
    say(this.#button, action ? t(action) : "");
    this.#count();
  }

  /** @param {number|undefined} share */
  #showProgress(share) {
    const bar = this.#box.querySelector("progress");
    if (!bar) return;
    bar.hidden = share === undefined;
    bar.value = share ?? 0;
  }

  #count() {
    const { retryAt, retrying } = this.#options;
    const seconds = retryAt ? Math.ceil((retryAt - performance.now()) / 1000) : 0;
    const text = seconds > 0 ? t("retry.in", { seconds }) : t("retry.now");
    say(this.#countdown, retryAt || retrying ? text : "");
  }
}
