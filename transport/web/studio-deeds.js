/** What can be done with a finished job: again, its settings, its files. */

import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { copy, problemWords } from "./studio-parts.js";

/** Files that carry the recipe by which they were made. */
const WITH_RECIPE = ["image/png", "video/mp4"];

/** @typedef {import("./studio-api.js").Job} Job */
/** @typedef {import("./studio-api.js").JobFile} JobFile */

/**
 * Emits `said` (CustomEvent<string>: to be told), `create` (the form is wanted) and `removed`
 * (CustomEvent<Job>).
 */
export class Deeds extends EventTarget {
  #api;
  #jobs;
  #media;
  #create;

  /**
   * @param {import("./studio-api.js").StudioApi} api
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   * @param {import("./studio-create.js").CreateView} create
   */
  constructor(api, jobs, media, create) {
    super();
    this.#api = api;
    this.#jobs = jobs;
    this.#media = media;
    this.#create = create;
  }

  /** Runs a job once more. @param {Job} job */
  again(job) {
    return this.#try(async () => {
      const made = job.files.find(({ type }) => WITH_RECIPE.includes(type));
      const again = made
        ? await this.#api.again({ job: job.id, file: made.name })
        : await this.#api.submit({
            kind: job.kind,
            params: job.params,
            inputs: await this.#inputsOf(job),
          });
      this.#jobs.take(again);
      this.#say(t(again.cached ? "deed.cached" : "deed.again"));
    });
  }

  /** Fills the form with a job's settings and files. @param {Job} job */
  edit(job) {
    return this.#try(async () => {
      const inputs = await this.#inputsOf(job);
      if (!this.#create.fill(job, inputs)) throw new Problem("UnknownGenerator");
      this.dispatchEvent(new Event("create"));
    });
  }

  /** @param {Job} job */
  async copySettings({ kind, params }) {
    const copied = await copy(JSON.stringify({ kind, params }, null, 2));
    this.#say(t(copied ? "deed.copied" : "copy.failed"));
  }

  /** @param {JobFile} file */
  download(file) {
    return this.#try(() => this.#media.save(file));
  }

  /** @param {Job} job */
  remove(job) {
    return this.#try(async () => {
      await this.#api.remove(job.id);
      this.#jobs.forget(job.id);
      this.dispatchEvent(new CustomEvent("removed", { detail: job }));
    });
  }

  /**
   * Which inputs take a file: of the generator that is chosen first.
   * @param {JobFile} file
   */
  uses(file) {
    const [kind] = file.type.split("/");
    const fits = (/** @type {string[]} */ kinds) =>
      kinds.includes(kind) ||
      (kind === "image" && kinds.includes("mask")) ||
      (kind === "video" && kinds.includes("audio"));
    return this.#create.generators.flatMap(({ name, title, inputs }) =>
      inputs
        .filter(({ kinds }) => fits(kinds))
        .map((input) => ({ kind: name, title, input: input.name })),
    );
  }

  /**
   * @param {Job} job
   * @param {JobFile} file
   * @param {{kind: string, input: string}} where
   */
  use(job, file, { kind, input }) {
    const { name, type, url } = file;
    this.#create.give(kind, input, [{ name, type, url, from: { job: job.id, file: name } }]);
    this.dispatchEvent(new Event("create"));
  }

  /**
   * The files that a job had, by the input's name.
   * @param {Job} job
   */
  async #inputsOf({ inputs }) {
    /** @type {Record<string, import("./studio-api.js").Given[]>} */
    const found = {};
    for (const { name, file: title, url } of inputs) {
      const blob = await this.#media.blob(url);
      const file = new File([blob], title, { type: blob.type });
      const given = { name: title, type: blob.type, file, url: URL.createObjectURL(blob) };
      // The second file of an input is called NAME-2.
      (found[name.replace(/-\d+$/, "")] ??= []).push(given);
    }
    return found;
  }

  /** @param {() => Promise<void>} act */
  async #try(act) {
    try {
      await act();
    } catch (error) {
      this.#say(problemWords(Problem.from(error)));
    }
  }

  /** @param {string} text */
  #say(text) {
    this.dispatchEvent(new CustomEvent("said", { detail: text }));
  }
}
