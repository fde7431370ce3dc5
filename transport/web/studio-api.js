/** The routes of the server that the studio uses: generators, jobs, models and memory. */

const UPLOAD_TIMEOUT_MS = 600_000;

/** @typedef {"waiting"|"delayed"|"queued"|"running"|"paused"|"done"|"failed"|"cancelled"} State */

/**
 * A file that a job made.
 * @typedef {object} JobFile
 * @property {string} name
 * @property {string} output Which of the generator's outputs it is.
 * @property {string} kind image, video, audio, mask, subtitles or data
 * @property {number} bytes
 * @property {string} type Media type.
 * @property {string} url
 */

/**
 * @typedef {object} Job
 * @property {string} id
 * @property {string} kind Its generator's name.
 * @property {string} title
 * @property {State} state
 * @property {number|null} place In the queue, from 1.
 * @property {number} priority
 * @property {number} progress 0 to 1
 * @property {number|null} eta_s
 * @property {string} message
 * @property {string|null} preview Address of a picture.
 * @property {Record<string, any>} params
 * @property {{name: string, file: string, url: string}[]} inputs
 * @property {JobFile[]} files
 * @property {Record<string, any>} values
 * @property {{kind: string, description: string, hint?: string}|null} error
 * @property {boolean} cached
 * @property {string} rung
 * @property {number} attempt
 * @property {number} created_at Seconds since 1970, as the other times.
 * @property {number|null} started_at
 * @property {number|null} finished_at
 * @property {number|null} run_s
 */

/**
 * @typedef {object} JobPage
 * @property {Job[]} jobs Pending ones in their order, then finished ones, the newest first.
 * @property {string|null} next Cursor of the next page.
 * @property {boolean} paused Whether the whole queue is held.
 * @property {Record<string, number>} counts By state.
 */

/**
 * @typedef {object} GeneratorInput
 * @property {string} name
 * @property {string[]} kinds image, video, audio, mask
 * @property {string} help
 * @property {boolean} required
 * @property {boolean} several
 */

/**
 * @typedef {object} Generator
 * @property {string} name
 * @property {string} title
 * @property {string} summary
 * @property {import("./studio-schema.js").Schema} parameters
 * @property {GeneratorInput[]} inputs
 * @property {{name: string, kind: string, help: string, several: boolean}[]} outputs
 * @property {{model: string, command: string}[]} [missing]
 */

/**
 * @typedef {object} Model
 * @property {string} id
 * @property {string} [title]
 * @property {number} bytes
 * @property {string} vendor
 * @property {string} licence
 * @property {boolean} commercial
 * @property {string} purpose
 * @property {"ready"|"missing"|"damaged"|"refused"|"unchecked"} health
 * @property {string[]} places disk, ram, or a device's name
 * @property {string} command How to get it.
 */

/**
 * @typedef {object} DeviceMemory
 * @property {string} device
 * @property {string} kind
 * @property {number} total Bytes, as the other figures.
 * @property {number} used
 * @property {number} budget
 * @property {number} reserved
 * @property {{key: string, bytes: number, place: string, pinned: boolean, in_use: boolean|number}[]} models
 */

/**
 * @typedef {object} Memory
 * @property {DeviceMemory[]} devices
 * @property {{time: number, device: string, used: number}[]} history
 */

/**
 * A file for a job: one of this computer, or one that another job made.
 * @typedef {object} Given
 * @property {string} name
 * @property {string} type Media type.
 * @property {File} [file]
 * @property {{job: string, file: string}} [from]
 * @property {string} url Where its picture or sound is.
 */

/**
 * @typedef {object} JobWish
 * @property {string} kind
 * @property {Record<string, any>} params
 * @property {Record<string, Given[]>} inputs By the input's name.
 * @property {number} [priority]
 */

export class StudioApi {
  #http;

  /** @param {import("./http.js").Http} http */
  constructor(http) {
    this.#http = http;
  }

  /** @returns {Promise<Generator[]>} */
  generators() {
    return this.#http.json("/generators");
  }

  /** @returns {Promise<Model[]>} */
  models() {
    return this.#http.json("/models");
  }

  /** @returns {Promise<Memory>} */
  memory() {
    return this.#http.json("/vram-monitor");
  }

  /**
   * @param {Record<string, string>} query
   * @returns {Promise<JobPage>}
   */
  jobs(query) {
    const given = Object.entries(query).filter(([, value]) => value);
    return this.#http.json(`/jobs?${new URLSearchParams(given)}`);
  }

  /** @param {string} id @returns {Promise<Job>} */
  job(id) {
    return this.#http.json(jobPath(id));
  }

  /**
   * @param {JobWish} wish
   * @returns {Promise<Job>}
   */
  submit({ kind, params, inputs, priority = 0 }) {
    /** @type {Record<string, object[]>} */
    const references = {};
    const form = new FormData();
    for (const [name, files] of Object.entries(inputs)) {
      for (const { file, from } of files) {
        if (from) (references[name] ??= []).push(from);
        else if (file) form.append(name, file, file.name);
      }
    }
    const job = { kind, params, priority, inputs: references };
    if (form.keys().next().done) return this.#post(job);
    form.set("job", JSON.stringify(job));
    return this.#post(form);
  }

  /**
   * Does again what a file's recipe says.
   * @param {{job: string, file: string}} file
   * @returns {Promise<Job>}
   */
  again(file) {
    return this.#post({ from_file: file });
  }

  /**
   * @param {string} id
   * @param {object} change
   * @returns {Promise<Job>}
   */
  change(id, change) {
    return this.#http.json(jobPath(id), { method: "PATCH", body: change });
  }

  /**
   * Cancels a job that is pending or running; removes one that has finished, with its files.
   * @param {string} id
   */
  remove(id) {
    return this.#http.json(jobPath(id), { method: "DELETE" });
  }

  /** @param {boolean} paused Whether the whole queue is held. */
  hold(paused) {
    return this.#http.json("/jobs", { method: "PATCH", body: { paused } });
  }

  /**
   * What happens to all jobs, as server-sent events.
   * @param {AbortSignal} signal Ends them.
   * @returns {Promise<Response>}
   */
  events(signal) {
    return this.#http.call("/jobs/events", { signal });
  }

  /** Whether files have to be fetched, as elements cannot send a token. */
  get guarded() {
    return this.#http.guarded;
  }

  /**
   * @param {string} url A file's, as the server gave it.
   * @returns {Promise<Blob>}
   */
  async blob(url) {
    return (await this.#http.call(url, { timeoutMs: UPLOAD_TIMEOUT_MS })).blob();
  }

  /**
   * @param {object|FormData} body
   * @returns {Promise<Job>}
   */
  #post(body) {
    return this.#http.json("/jobs", { method: "POST", body, timeoutMs: UPLOAD_TIMEOUT_MS });
  }
}

/** @param {string} id */
function jobPath(id) {
  return `/jobs/${encodeURIComponent(id)}`;
}
