/** Masks that follow points and boxes: each change is a job of its own, the newest wins. */

import { Problem } from "./problem.js";
import { isPending } from "./studio-jobs.js";

/** Before everything that waits. */
const PRIORITY = 1000;

/** @typedef {import("./studio-api.js").Job} Job */

/**
 * Emits `busy` (CustomEvent<boolean>), `masks` (CustomEvent<{job: Job, masks: Blob[]}>) and
 * `wrong` (CustomEvent<Problem>).
 */
export class LiveMask extends EventTarget {
  #api;
  #jobs;
  #media;
  /** Rises with each question; answers to older ones are passed over. */
  #asked = 0;
  #sending = false;
  /** @type {(() => Promise<import("./studio-api.js").JobWish>)|null} */
  #next = null;
  /** @type {string} */
  #current = "";
  /** The job whose mask is shown. */
  #shown = "";
  /** Older ones that are still to end, then to be removed. @type {Set<string>} */
  #old = new Set();
  #stop = new AbortController();

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
    const finished = (/** @type {Event} */ event) => {
      this.#finished(/** @type {CustomEvent<Job>} */ (event).detail);
    };
    jobs.addEventListener("finished", finished, { signal: this.#stop.signal });
  }

  /** Asks for a mask. @param {() => Promise<import("./studio-api.js").JobWish>} wish */
  ask(wish) {
    this.#asked += 1;
    this.#next = wish;
    this.dispatchEvent(new CustomEvent("busy", { detail: true }));
    if (!this.#sending) void this.#send();
  }

  /** What was asked is not wanted any more. */
  drop() {
    this.#asked += 1;
    this.#next = null;
    this.#leave(this.#current);
    this.#current = "";
    this.dispatchEvent(new CustomEvent("busy", { detail: false }));
  }

  /** Ends for good. */
  close() {
    this.drop();
    this.#stop.abort();
  }

  async #send() {
    this.#sending = true;
    while (this.#next) {
      const [wish, asked] = [this.#next, this.#asked];
      this.#next = null;
      try {
        this.#leave(this.#current);
        this.#current = "";
        const job = await this.#api.submit({ ...(await wish()), priority: PRIORITY });
        if (asked === this.#asked) this.#current = job.id;
        else this.#leave(job.id);
        this.#jobs.take(job);
        if (!isPending(job)) this.#finished(job);
      } catch (error) {
        if (asked === this.#asked) this.#fail(Problem.from(error));
      }
    }
    this.#sending = false;
  }

  /** Cancels a job whose answer is not wanted any more. @param {string} id */
  #leave(id) {
    if (!id || id === this.#shown) return;
    this.#old.add(id);
    this.#remove(id);
  }

  /** @param {string} id */
  #remove(id) {
    this.#api.remove(id).then(
      ({ status }) => {
        if (status !== "deleted") return;
        this.#old.delete(id);
        this.#jobs.forget(id);
      },
      (error) => console.debug("An older job could not be removed:", error),
    );
  }

  /** @param {Job} job */
  #finished(job) {
    if (this.#old.has(job.id)) this.#remove(job.id);
    if (job.id !== this.#current) return;
    this.#current = "";
    if (job.state === "done") void this.#show(job);
    else if (job.error) this.#fail(new Problem(job.error.kind, job.error.description));
    else this.dispatchEvent(new CustomEvent("busy", { detail: false }));
  }

  /** @param {Job} job */
  async #show(job) {
    const asked = this.#asked;
    const files = surestMasks(job);
    try {
      if (!files.length) throw new Problem("NoMask");
      const masks = await Promise.all(files.map(({ url }) => this.#media.blob(url)));
      if (asked !== this.#asked) return this.#leave(job.id);
      const before = this.#shown;
      this.#shown = job.id;
      this.#leave(before);
      this.dispatchEvent(new CustomEvent("masks", { detail: { job, masks } }));
      this.dispatchEvent(new CustomEvent("busy", { detail: false }));
    } catch (error) {
      if (asked === this.#asked) this.#fail(Problem.from(error));
    }
  }

  /** @param {Problem} problem */
  #fail(problem) {
    this.dispatchEvent(new CustomEvent("busy", { detail: false }));
    this.dispatchEvent(new CustomEvent("wrong", { detail: problem }));
  }
}

/**
 * Of each object the mask with the highest score; all masks where none is said to be for an object.
 * @param {Job} job
 */
function surestMasks({ files, values }) {
  const masks = files.filter(({ kind }) => kind === "mask");
  if (!Array.isArray(values.masks)) return masks;
  /** @type {Map<number, {file: string, object: number, score: number}>} */
  const surest = new Map();
  for (const one of values.masks) {
    if (one.score > (surest.get(one.object)?.score ?? -1)) surest.set(one.object, one);
  }
  const names = new Set([...surest.values()].map(({ file }) => file));
  return masks.filter(({ name }) => names.has(name));
}
