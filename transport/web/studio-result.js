/** What became of the job that was sent last: how far it is, its preview, what it made. */

import { byId, el, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { duration, percent } from "./studio-format.js";
import { isPending } from "./studio-jobs.js";

/** @typedef {import("./studio-api.js").Job} Job */

/** Emits `open` (CustomEvent<Job>: its details are wanted). */
export class ResultPane extends EventTarget {
  #media;
  #root = byId("result");
  #body = byId("result-body");
  #bar = /** @type {HTMLProgressElement} */ (byId("result-progress"));
  /** @type {Job|null} */
  #job = null;
  /** What is on the screen, so that it is not loaded anew. */
  #drawn = "";

  /**
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   */
  constructor(jobs, media) {
    super();
    this.#media = media;
    for (const name of ["job", "finished"]) {
      on(jobs, name, (/** @type {Job} */ job) => {
        if (job.id === this.#job?.id) this.show(job);
      });
    }
    jobs.addEventListener("change", () => {
      const job = this.#job && jobs.get(this.#job.id);
      if (job) this.show(job);
    });
    byId("result-open").addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("open", { detail: this.#job }));
    });
  }

  /** @param {Job|null} job */
  show(job) {
    this.#job = job;
    this.#root.hidden = !job;
    if (!job) return;
    this.#root.dataset.state = job.state;
    say(byId("result-state"), stateWords(job));
    this.#bar.hidden = !isPending(job);
    this.#bar.value = job.progress;
    byId("result-open").hidden = isPending(job);
    this.#draw(job);
  }

  /** Brings it into sight: the form may be longer than the window. */
  reveal() {
    this.#root.scrollIntoView({ block: "nearest" });
  }

  /** Writes everything in the page's language. */
  render() {
    this.show(this.#job);
  }

  /** @param {Job} job */
  #draw(job) {
    const wanted = `${job.id} ${job.state} ${job.preview ?? ""} ${job.files.length}`;
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    if (job.state === "done") {
      this.#body.replaceChildren(...job.files.map((file) => this.#figure(file)));
    } else if (job.error) {
      this.#body.replaceChildren(el("p", { class: "wrong" }, errorWords(job)));
    } else if (job.preview) this.#body.replaceChildren(this.#media.picture(job.preview));
    else this.#body.replaceChildren();
  }

  /** @param {import("./studio-api.js").JobFile} file */
  #figure(file) {
    const whole = this.#media.whole(file);
    return el("figure", {}, whole, el("figcaption", {}, file.name));
  }
}

/** @param {Job} job */
export function errorWords({ error }) {
  if (!error) return "";
  const { description, hint = "" } = error;
  return hint && !description.includes(hint) ? `${description} ${hint}` : description;
}

/** How a job stands, in one line. @param {Job} job */
export function stateWords(job) {
  const { state, place, progress, eta_s, message, run_s, cached, rung } = job;
  const parts = [t(`job.${state}`)];
  if (state === "queued" && place) parts[0] = t("job.place", { place });
  if (state === "running" || state === "paused") parts.push(percent(progress));
  if (state === "running" && eta_s !== null) parts.push(t("job.left", { time: duration(eta_s) }));
  if (isPending(job) && message) parts.push(message);
  if (cached) parts.push(t("job.cached"));
  else if (state === "done" && run_s !== null) parts.push(duration(run_s));
  if (rung && rung !== "full") parts.push(t("job.rung", { rung }));
  return parts.join(" · ");
}

/** What a job was asked for in words, else what made it. @param {Job} job */
export function nameOf({ params, title, kind }) {
  return typeof params.prompt === "string" && params.prompt ? params.prompt : title || kind;
}
