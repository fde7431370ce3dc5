/** What was made: finished jobs as pictures, searched and page by page. */

import { byId, el, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { moment } from "./studio-format.js";
import { cover } from "./studio-media.js";
import { iconButton, problemWords } from "./studio-parts.js";
import { nameOf } from "./studio-result.js";

const PAGE = 48;
/** Between the last key and the search. */
const TYPING_MS = 300;
const FINISHED = "done,failed,cancelled";

/** @typedef {import("./studio-api.js").Job} Job */

/** Emits `open` (CustomEvent<Job>). */
export class Gallery extends EventTarget {
  #api;
  #media;
  #deeds;
  #list = byId("gallery");
  #kind = /** @type {HTMLSelectElement} */ (byId("gallery-kind"));
  #state = /** @type {HTMLSelectElement} */ (byId("gallery-state"));
  #search = /** @type {HTMLInputElement} */ (byId("gallery-search"));
  #more = /** @type {HTMLButtonElement} */ (byId("gallery-more"));
  /** @type {Map<string, {job: Job, node: HTMLElement}>} */
  #shown = new Map();
  /** @type {string|null} */
  #next = null;
  #open = false;
  /** Rises with each reading from the start: answers to older ones are passed over. */
  #reading = 0;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #typing;

  /**
   * @param {import("./studio-api.js").StudioApi} api
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   * @param {import("./studio-deeds.js").Deeds} deeds
   */
  constructor(api, jobs, media, deeds) {
    super();
    this.#api = api;
    this.#media = media;
    this.#deeds = deeds;
    on(jobs, "finished", () => this.#news());
    on(deeds, "removed", ({ id }) => this.#remove(id));
    for (const node of [this.#kind, this.#state]) {
      node.addEventListener("change", () => this.#read());
    }
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#read(), TYPING_MS);
    });
    this.#more.addEventListener("click", () => this.#readMore());
  }

  /** @param {import("./studio-api.js").Generator[]} generators */
  set generators(generators) {
    const options = generators.map(({ name, title }) => el("option", { value: name }, title));
    this.#kind.replaceChildren(el("option", { value: "" }, t("gallery.kinds")), ...options);
  }

  enter() {
    this.#open = true;
    void this.#read();
  }

  leave() {
    this.#open = false;
    clearTimeout(this.#typing);
  }

  /** Writes everything in the page's language. */
  render() {
    const first = this.#kind.options[0];
    if (first) first.textContent = t("gallery.kinds");
    const jobs = [...this.#shown.values()].map(({ job }) => job);
    this.#become(jobs);
  }

  /** Something finished: the newest page is read again, what was read beyond it stays. */
  async #news() {
    if (!this.#open || !this.#shown.size) return this.#open ? this.#read() : undefined;
    const reading = this.#reading;
    try {
      const { jobs } = await this.#api.jobs(this.#query());
      if (reading !== this.#reading) return undefined;
      const known = [...this.#shown.values()].map(({ job }) => job);
      const ids = new Set(jobs.map(({ id }) => id));
      this.#become([...jobs, ...known.filter(({ id }) => !ids.has(id))]);
    } catch (error) {
      console.debug("The gallery could not be brought up to date:", error);
    }
    return undefined;
  }

  async #read() {
    this.#reading += 1;
    const reading = this.#reading;
    this.#list.setAttribute("aria-busy", "true");
    say(byId("gallery-hint"), this.#shown.size ? "" : t("gallery.loading"));
    try {
      const page = await this.#api.jobs(this.#query());
      if (reading !== this.#reading) return;
      this.#become(page.jobs);
      this.#setNext(page.next);
    } catch (error) {
      if (reading === this.#reading) say(byId("gallery-hint"), problemWords(Problem.from(error)));
    } finally {
      if (reading === this.#reading) this.#list.setAttribute("aria-busy", "false");
    }
  }

  async #readMore() {
    if (!this.#next) return;
    const reading = this.#reading;
    this.#more.disabled = true;
    try {
      const page = await this.#api.jobs({ ...this.#query(), after: this.#next });
      if (reading !== this.#reading) return;
      const first = page.jobs.find(({ id }) => !this.#shown.has(id));
      this.#become([...[...this.#shown.values()].map(({ job }) => job), ...page.jobs]);
      this.#setNext(page.next);
      // The button may be gone: the focus goes on to what it brought.
      if (first) this.#shown.get(first.id)?.node.querySelector("button")?.focus();
    } catch (error) {
      say(byId("gallery-hint"), problemWords(Problem.from(error)));
    } finally {
      this.#more.disabled = false;
    }
  }

  #query() {
    return {
      state: this.#state.value || FINISHED,
      kind: this.#kind.value,
      search: this.#search.value.trim(),
      limit: String(PAGE),
    };
  }

  /** @param {string|null} next */
  #setNext(next) {
    this.#next = next;
    this.#more.hidden = !next;
  }

  /** @param {Job[]} jobs */
  #become(jobs) {
    const before = this.#shown;
    this.#shown = new Map();
    for (const job of jobs) {
      const known = before.get(job.id);
      const node = known?.job.state === job.state ? known.node : this.#card(job);
      this.#shown.set(job.id, { job, node });
    }
    this.#list.replaceChildren(...[...this.#shown.values()].map(({ node }) => node));
    this.#sayEmpty();
  }

  #sayEmpty() {
    const filtered = this.#search.value || this.#kind.value || this.#state.value;
    const empty = t(filtered ? "gallery.nothing" : "gallery.empty");
    say(byId("gallery-hint"), this.#shown.size ? "" : empty);
  }

  /** @param {string} id */
  #remove(id) {
    this.#shown.get(id)?.node.remove();
    this.#shown.delete(id);
    this.#sayEmpty();
  }

  /** @param {Job} job */
  #card(job) {
    const title = nameOf(job);
    const file = cover(job);
    const open = el(
      "button",
      { type: "button", class: "open", "aria-label": t("job.open", { title }) },
      this.#media.thumb(file),
    );
    open.addEventListener("click", () => {
      this.dispatchEvent(new CustomEvent("open", { detail: job }));
    });
    const note = job.state === "done" ? moment(job.finished_at ?? 0) : t(`job.${job.state}`);
    const buttons = [
      iconButton("again", t("deed.run"), () => this.#deeds.again(job)),
      iconButton("copy", t("deed.copy"), () => this.#deeds.copySettings(job)),
    ];
    if (file) {
      buttons.unshift(iconButton("download", t("deed.download"), () => this.#deeds.download(file)));
    }
    return el(
      "li",
      { class: "made", "data-state": job.state, "data-testid": `made-${job.id}` },
      open,
      el("span", { class: "name", title }, title),
      el("span", { class: "note" }, note),
      el("span", { class: "buttons" }, ...buttons),
    );
  }
}
