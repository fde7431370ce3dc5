/** Making something: a generator, its form and inputs, and what comes of it. */

import { byId, el, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { Form } from "./studio-form.js";
import { Inputs } from "./studio-inputs.js";
import { LiveMask } from "./studio-live.js";
import { ResultPane } from "./studio-result.js";
import { copyButton, problemWords } from "./studio-parts.js";

const CHOSEN_KEY = "avatar-server.generator";

/** @typedef {import("./studio-api.js").Generator} Generator */
/** @typedef {import("./studio-api.js").Job} Job */

/** Emits `generators` (they are known). */
export class CreateView extends EventTarget {
  #api;
  #jobs;
  #media;
  #picker = /** @type {HTMLSelectElement} */ (byId("generator"));
  #submit = /** @type {HTMLButtonElement} */ (byId("submit"));
  /** @type {Generator[]} */
  #generators = [];
  /** @type {Generator|null} */
  #generator = null;
  /** @type {Form|null} */
  #form = null;
  /** @type {Inputs|null} */
  #inputs = null;
  /** @type {LiveMask|null} */
  #live = null;
  /** Parameters whose marks wait for the picture. @type {Record<string, any>|null} */
  #later = null;
  result;

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
    this.result = new ResultPane(jobs, media);
    this.#picker.addEventListener("change", () => this.choose(this.#picker.value));
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    byId("reset").addEventListener("click", () => {
      if (this.#form) this.#form.values = {};
      this.#tell("");
    });
    byId("generators-again").addEventListener("click", () => this.load());
  }

  get generators() {
    return this.#generators;
  }

  enter() {}

  leave() {}

  /** Reads which generators there are, if that is not known yet. */
  async load() {
    if (this.#generators.length) return;
    byId("generators-again").hidden = true;
    say(byId("generators-hint"), t("generators.loading"));
    try {
      this.#generators = await this.#api.generators();
    } catch (error) {
      byId("generators-again").hidden = false;
      say(byId("generators-hint"), problemWords(Problem.from(error)));
      return;
    }
    say(byId("generators-hint"), this.#generators.length ? "" : t("generators.none"));
    this.#picker.replaceChildren(
      ...this.#generators.map(({ name, title }) => el("option", { value: name }, title)),
    );
    byId("form").hidden = !this.#generators.length;
    this.choose(localStorage.getItem(CHOSEN_KEY) ?? "");
    this.dispatchEvent(new Event("generators"));
  }

  /** @param {string} name Of a generator; the first one where there is none of this name. */
  choose(name) {
    const generator = this.#generators.find((one) => one.name === name) ?? this.#generators[0];
    if (!generator || generator === this.#generator) return;
    localStorage.setItem(CHOSEN_KEY, generator.name);
    this.#build(generator);
  }

  /** Writes everything in the page's language; what was entered stays. */
  render() {
    this.result.render();
    if (!this.#generator) return;
    const values = this.#form?.values ?? {};
    this.#showMissing(this.#generator);
    this.#form = this.#makeForm(this.#generator);
    this.#form.values = values;
  }

  /**
   * Fills the form as a job's was.
   * @param {{kind: string, params: Record<string, any>}} settings
   * @param {Record<string, import("./studio-api.js").Given[]>} [inputs] Its files.
   * @returns {boolean} Whether there is such a generator.
   */
  fill({ kind, params }, inputs = {}) {
    if (!this.#generators.some(({ name }) => name === kind)) return false;
    this.choose(kind);
    if (this.#form) this.#form.values = params;
    this.#later = params;
    const given = Object.entries(inputs);
    for (const [name, files] of given) this.#inputs?.give(name, files);
    // A picture that comes clears what is marked on the one before.
    if (!given.length) this.#placeMarks();
    return true;
  }

  /**
   * @param {string} kind Of a generator.
   * @param {string} input Its name.
   * @param {import("./studio-api.js").Given[]} given
   */
  give(kind, input, given) {
    this.choose(kind);
    this.#inputs?.give(input, given);
  }

  /** Files that were pasted. @param {File[]} files */
  take(files) {
    return this.#inputs?.take(files) ?? false;
  }

  /** @param {Generator} generator */
  #build(generator) {
    this.#live?.close();
    this.#inputs?.close();
    this.#generator = generator;
    this.#later = null;
    this.#picker.value = generator.name;
    say(byId("summary"), generator.summary);
    this.#showMissing(generator);
    this.#tell("");
    this.result.show(null);
    const form = this.#makeForm(generator);
    this.#form = form;
    this.#inputs = new Inputs(byId("inputs"), generator, this.#media, form.marks);
    byId("inputs").hidden = !generator.inputs.length;
    byId("nothing").hidden = generator.inputs.length > 0;
    this.#inputs.addEventListener("picture", () => this.#placeMarks());
    this.#live = this.#followMarks(generator);
  }

  /** @param {Generator} generator */
  #makeForm(generator) {
    const form = new Form(byId("fields"), generator.parameters);
    // A mask that is shown belongs to the settings that it was made with.
    form.addEventListener("change", () => this.#askMask());
    return form;
  }

  /** @param {Generator} generator */
  #showMissing({ missing = [] }) {
    byId("missing").hidden = !missing.length;
    byId("missing-list").replaceChildren(
      ...missing.map(({ model, command }) =>
        el("li", {}, el("strong", {}, model), el("code", {}, command), copyButton(command)),
      ),
    );
  }

  /** @param {Generator} generator */
  #followMarks(generator) {
    const { points, boxes } = this.#form?.marks ?? {};
    const masks = generator.outputs.some(({ kind }) => kind === "mask");
    if (!masks || !(points || boxes)) return null;
    const live = new LiveMask(this.#api, this.#jobs, this.#media);
    this.#inputs?.addEventListener("marks", () => this.#askMask());
    on(live, "busy", (busy) => {
      byId("inputs").setAttribute("aria-busy", String(busy));
    });
    on(live, "masks", ({ job, masks }) => {
      void this.#inputs?.easel?.showMasks(masks);
      this.result.show(job);
    });
    on(live, "wrong", (/** @type {Problem} */ problem) => this.#fail(problem));
    return live;
  }

  #askMask() {
    const easel = this.#inputs?.easel;
    if (!this.#live || !easel) return;
    this.#tell("");
    if (!easel.marks.empty) return this.#live.ask(() => this.#wish());
    this.#live.drop();
    void easel.showMasks([]);
  }

  #placeMarks() {
    const { easel } = this.#inputs ?? {};
    if (!this.#later || !easel?.size.width) return;
    easel.marks.load(this.#later);
    this.#later = null;
  }

  /** @returns {Promise<import("./studio-api.js").JobWish>} */
  async #wish() {
    const { easel } = this.#inputs ?? {};
    const params = this.#form?.values ?? {};
    if (easel && this.#generator) {
      Object.assign(params, easel.marks.parameters(this.#generator.parameters));
    }
    const inputs = (await this.#inputs?.collect()) ?? {};
    return { kind: this.#generator?.name ?? "", params, inputs };
  }

  async #send() {
    if (!this.#form || !this.#inputs || this.#submit.disabled) return;
    this.#tell("");
    this.#form.problems = {};
    this.#submit.disabled = true;
    try {
      const wish = await this.#wish();
      if (!this.#inputs.complete(wish.inputs)) return;
      const job = await this.#api.submit(wish);
      this.#jobs.take(job);
      this.result.show(job);
      this.result.reveal();
    } catch (error) {
      this.#fail(Problem.from(error));
    } finally {
      this.#submit.disabled = false;
    }
  }

  /** @param {Problem} problem */
  #fail(problem) {
    if (!this.#form || !this.#inputs) return;
    const { problems } = problem;
    this.#form.problems = problems;
    const rest = this.#inputs.showProblems(this.#form.foreign(problems));
    const some = Object.keys(problems).length > 0;
    this.#tell(some ? [t("form.wrong"), ...rest].join(" ") : problemWords(problem));
  }

  /** @param {string} text What is wrong. */
  #tell(text) {
    say(byId("form-error"), text);
  }
}
