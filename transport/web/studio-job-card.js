/** One job of the queue: how far it is, what it says, and the buttons for it. */

import { el, say } from "./dom.js";
import { t } from "./i18n.js";
import { isPending } from "./studio-jobs.js";
import { cover } from "./studio-media.js";
import { iconButton } from "./studio-parts.js";
import { errorWords, nameOf, stateWords } from "./studio-result.js";

/** @typedef {import("./studio-api.js").Job} Job */

/**
 * @typedef {object} CardActions
 * @property {(change: object) => void} change
 * @property {() => void} up
 * @property {() => void} cancel
 * @property {() => void} open
 */

export class JobCard {
  #id;
  #jobs;
  #media;
  #actions;
  #thumb = el("button", { type: "button", class: "thumb" });
  #title = el("span", { class: "name" });
  #state = el("span", { class: "note", "data-part": "state" });
  #bar = /** @type {HTMLProgressElement} */ (el("progress", { max: "1" }));
  #buttons = el("span", { class: "buttons" });
  #lines = el("pre", { class: "log" });
  #log;
  /** What the thumbnail and the buttons were made for. */
  #drawn = "";
  #made = "";
  root;

  /**
   * @param {string} id
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   * @param {CardActions} actions
   */
  constructor(id, jobs, media, actions) {
    this.#id = id;
    this.#jobs = jobs;
    this.#media = media;
    this.#actions = actions;
    this.#thumb.addEventListener("click", actions.open);
    const summary = el("summary", {}, t("job.log"));
    this.#log = /** @type {HTMLDetailsElement} */ (
      el("details", { class: "fold small" }, summary, this.#lines)
    );
    this.#log.addEventListener("toggle", () => this.#showLog());
    const text = el("span", { class: "text" }, this.#title, this.#state, this.#bar);
    this.root = el("li", { class: "job" }, this.#thumb, text, this.#buttons, this.#log);
  }

  /** @param {Job} job */
  show(job) {
    const title = nameOf(job);
    this.root.dataset.state = job.state;
    this.root.dataset.testid = `job-${job.id}`;
    this.#title.textContent = title;
    this.#title.title = title;
    this.#thumb.setAttribute("aria-label", t("job.open", { title }));
    say(this.#state, job.error ? errorWords(job) : stateWords(job));
    this.#bar.hidden = !["running", "paused"].includes(job.state);
    this.#bar.value = job.progress;
    this.#bar.setAttribute("aria-label", title);
    this.#showLog();
    this.#drawThumb(job);
    this.#makeButtons(job);
  }

  /** @param {Job} job */
  #drawThumb(job) {
    const file = cover(job);
    const wanted = file?.url ?? job.preview ?? job.state;
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    const picture = !file && job.preview ? this.#media.picture(job.preview) : this.#media.thumb(file);
    this.#thumb.replaceChildren(picture);
  }

  /** @param {Job} job */
  #makeButtons(job) {
    const first = this.#jobs.pending.find(({ state }) => state !== "running")?.id === job.id;
    const wanted = `${job.state} ${first} ${t("job.cancel")}`;
    if (wanted === this.#made) return;
    const focused = this.#buttons.contains(document.activeElement)
      ? /** @type {HTMLElement} */ (document.activeElement).dataset.do
      : undefined;
    this.#made = wanted;
    this.#buttons.replaceChildren(...this.#wantedButtons(job, first));
    this.#buttons.hidden = !this.#buttons.childElementCount;
    if (!focused) return;
    const again = this.#buttons.querySelector(`[data-do="${focused}"]`) ?? this.#thumb;
    /** @type {HTMLElement} */ (again).focus();
  }

  /**
   * @param {Job} job
   * @param {boolean} first Whether it is the next one.
   */
  #wantedButtons(job, first) {
    if (!isPending(job)) return [];
    const { state } = job;
    const { change, up, cancel } = this.#actions;
    const made = [];
    const waits = state === "queued" || state === "delayed" || state === "waiting";
    if (waits && !first) {
      made.push(iconButton("up", t("job.up"), up));
      made.push(iconButton("front", t("job.front"), () => change({ move: "front" })));
    }
    made.push(
      state === "paused"
        ? iconButton("resume", t("job.resume"), () => change({ paused: false }))
        : iconButton("pause", t("job.pause"), () => change({ paused: true })),
    );
    made.push(iconButton("cancel", t("job.cancel"), cancel));
    return made;
  }

  #showLog() {
    const lines = this.#jobs.log(this.#id);
    this.#log.hidden = !lines.length;
    if (!this.#log.open) return;
    this.#lines.textContent = lines.join("\n");
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }
}
