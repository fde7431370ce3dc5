/** The jobs as the server has them, kept true by its events. No DOM. */

import { on } from "./dom.js";

/** Pending jobs that are shown, and finished ones below them. */
const MOST_PENDING = 100;
const RECENT = 4;
const LOG_LINES = 200;
/** Jobs whose log is kept. */
const LOGS = 100;
/** Least time between two readings of the queue's order. */
const REREAD_MS = 300;
const RETRY_MS = 3000;

const PENDING = ["waiting", "delayed", "queued", "running", "paused"];

/** @typedef {import("./studio-api.js").Job} Job */

/** @param {Job} job */
export function isPending({ state }) {
  return PENDING.includes(state);
}

/**
 * Emits `change` (which jobs there are, or their order), `job` (CustomEvent<Job>: one of them) and
 * `finished` (CustomEvent<Job>).
 */
export class Jobs extends EventTarget {
  #api;
  #feed;
  /** @type {Map<string, Job>} */
  #known = new Map();
  /** @type {string[]} */
  #order = [];
  /** @type {Map<string, string[]>} */
  #logs = new Map();
  #reading = false;
  #stale = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** Whether the whole queue is held. */
  paused = false;
  /** Pending jobs, those that are not shown included. */
  count = 0;

  /**
   * @param {import("./studio-api.js").StudioApi} api
   * @param {import("./studio-feed.js").Feed} feed
   */
  constructor(api, feed) {
    super();
    this.#api = api;
    this.#feed = feed;
    feed.addEventListener("open", () => this.reread());
    on(feed, "event", ({ name, data }) => this.#happened(name, data));
  }

  /** In the order in which they will run. */
  get pending() {
    return this.#listed.filter(isPending);
  }

  /** Those that finished last. */
  get recent() {
    return this.#listed.filter((job) => !isPending(job)).slice(0, RECENT);
  }

  /** @param {string} id */
  get(id) {
    return this.#known.get(id);
  }

  /** What a job has said. @param {string} id @returns {string[]} */
  log(id) {
    return this.#logs.get(id) ?? [];
  }

  /** Takes a job as an answer of the server shows it. @param {Job} job */
  take(job) {
    const before = this.#known.get(job.id);
    this.#known.set(job.id, job);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
    if (before?.state === job.state) return;
    if (!isPending(job)) this.dispatchEvent(new CustomEvent("finished", { detail: job }));
    this.reread();
  }

  /** A job is no longer there. @param {string} id */
  forget(id) {
    this.#order = this.#order.filter((other) => other !== id);
    this.#known.delete(id);
    this.#logs.delete(id);
    this.dispatchEvent(new Event("change"));
  }

  /** Reads which jobs there are, soon and not too often. */
  reread() {
    this.#stale = true;
    if (this.#reading || this.#timer !== undefined) return;
    void this.#read();
  }

  async #read() {
    this.#reading = true;
    this.#stale = false;
    let wait = REREAD_MS;
    try {
      const page = await this.#api.jobs({ limit: String(MOST_PENDING) });
      this.#become(page);
    } catch (error) {
      // The feed says when the server is gone.
      console.debug("The jobs could not be read:", error);
      this.#stale = this.#feed.running;
      wait = RETRY_MS;
    }
    this.#reading = false;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#stale) void this.#read();
    }, wait);
  }

  /** @param {import("./studio-api.js").JobPage} page */
  #become({ jobs, paused, counts }) {
    const finished = jobs.filter((job) => this.#wasPending(job) && !isPending(job));
    this.paused = paused;
    this.count = PENDING.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
    this.#order = jobs.map(({ id }) => id);
    this.#known = new Map(jobs.map((job) => [job.id, job]));
    const kept = [...this.#logs].filter(([id]) => this.#known.has(id));
    this.#logs = new Map(kept.slice(-LOGS));
    this.dispatchEvent(new Event("change"));
    for (const job of finished) this.dispatchEvent(new CustomEvent("finished", { detail: job }));
  }

  /** @param {Job} job */
  #wasPending({ id }) {
    const before = this.#known.get(id);
    return before !== undefined && isPending(before);
  }

  get #listed() {
    return this.#order.flatMap((id) => this.#known.get(id) ?? []);
  }

  /**
   * @param {string} name
   * @param {any} data
   */
  #happened(name, data) {
    const job = this.#known.get(data.id);
    if (name === "state") this.take(data.job);
    else if (name === "log") this.#addLine(data);
    else if (name === "removed") this.forget(data.id);
    else if (!job) this.reread();
    else if (name === "queued" && job.place !== data.place) this.reread();
    else if (name === "progress") this.#update(job, data);
    else if (name === "preview") this.#update(job, { preview: data.url });
  }

  /**
   * @param {Job} job
   * @param {Partial<Job>} values
   */
  #update(job, values) {
    Object.assign(job, values);
    this.dispatchEvent(new CustomEvent("job", { detail: job }));
  }

  /** @param {{id: string, line: string}} event */
  #addLine({ id, line }) {
    const lines = this.#logs.get(id) ?? [];
    lines.push(line);
    this.#logs.set(id, lines.slice(-LOG_LINES));
    const job = this.#known.get(id);
    if (job) this.dispatchEvent(new CustomEvent("job", { detail: job }));
  }
}
