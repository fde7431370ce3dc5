/** The queue: a card for each pending job, and those that finished last. */

import { byId, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { JobCard } from "./studio-job-card.js";

/** @typedef {import("./studio-api.js").Job} Job */

/**
 * Emits `open` (CustomEvent<Job>) and `wrong` (CustomEvent<unknown>: why something failed).
 */
export class Queue extends EventTarget {
  #api;
  #jobs;
  #media;
  #hold = byId("queue-hold");
  /** @type {Map<string, JobCard>} */
  #cards = new Map();

  /**
   * @param {import("./studio-api.js").StudioApi} api
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   */
  constructor(api, jobs, media) {
    super();
    this.#api = api;
    this.#jobs = jobs;
    this.#media = media;
    jobs.addEventListener("change", () => this.render());
    on(jobs, "job", (/** @type {Job} */ job) => this.#cards.get(job.id)?.show(job));
    this.#hold.addEventListener("click", () => this.#toggleHold());
  }

  /** Writes everything in the page's language. */
  render() {
    const { pending, recent, paused, count } = this.#jobs;
    this.#place(byId("queue"), pending);
    this.#place(byId("recent"), recent);
    const shown = new Set([...pending, ...recent].map(({ id }) => id));
    for (const id of this.#cards.keys()) if (!shown.has(id)) this.#cards.delete(id);
    byId("queue-empty").hidden = count > 0;
    byId("recent-part").hidden = recent.length === 0;
    say(byId("queue-count"), count ? t("queue.count", { count }) : "");
    const more = count - pending.length;
    say(byId("queue-more"), more > 0 ? t("queue.more", { count: more }) : "");
    say(byId("queue-held"), paused ? t("queue.held") : "");
    this.#hold.setAttribute("aria-pressed", String(paused));
    this.#hold.textContent = t(paused ? "queue.release" : "queue.hold");
  }

  /**
   * Cards that stay keep their elements, and so the focus.
   * @param {HTMLElement} list
   * @param {Job[]} jobs
   */
  #place(list, jobs) {
    const wanted = jobs.map((job) => {
      const card = this.#cards.get(job.id) ?? this.#make(job);
      card.show(job);
      return card.root;
    });
    const kept = new Set(wanted);
    for (const node of [...list.children]) {
      if (!kept.has(/** @type {HTMLElement} */ (node))) node.remove();
    }
    for (const [n, node] of wanted.entries()) {
      if (list.children[n] !== node) list.insertBefore(node, list.children[n] ?? null);
    }
  }

  /** @param {Job} job */
  #make({ id }) {
    const card = new JobCard(id, this.#jobs, this.#media, {
      change: (change) => this.#try(() => this.#api.change(id, change)),
      up: () => this.#moveUp(id),
      cancel: () => this.#try(() => this.#api.remove(id)),
      open: () => {
        const detail = this.#jobs.get(id);
        if (detail) this.dispatchEvent(new CustomEvent("open", { detail }));
      },
    });
    this.#cards.set(id, card);
    return card;
  }

  /** @param {string} id */
  #moveUp(id) {
    const waiting = this.#jobs.pending.filter(({ state }) => state !== "running");
    const before = waiting[waiting.findIndex((job) => job.id === id) - 1];
    if (before) this.#try(() => this.#api.change(id, { move: { before: before.id } }));
  }

  #toggleHold() {
    this.#try(() => this.#api.hold(!this.#jobs.paused));
  }

  /** @param {() => Promise<any>} act Answers with a job, or with something else. */
  async #try(act) {
    try {
      const answer = await act();
      if (answer.id) this.#jobs.take(answer);
    } catch (error) {
      this.dispatchEvent(new CustomEvent("wrong", { detail: error }));
    }
    this.#jobs.reread();
  }
}
