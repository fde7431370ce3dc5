/** A job in full: its files, how it was made, and what can be done with it. */

import { byId, el, on, say } from "./dom.js";
import { t } from "./i18n.js";
import { moment, size } from "./studio-format.js";
import { isPending } from "./studio-jobs.js";
import { icon, iconButton } from "./studio-parts.js";
import { errorWords, nameOf, stateWords } from "./studio-result.js";

/** @typedef {import("./studio-api.js").Job} Job */
/** @typedef {import("./studio-api.js").JobFile} JobFile */

export class Viewer {
  #dialog = /** @type {HTMLDialogElement} */ (byId("viewer"));
  #jobs;
  #media;
  #deeds;
  /** @type {Job|null} */
  #job = null;
  /** What is on the screen, so that it is not loaded anew. */
  #drawn = "";

  /**
   * @param {import("./studio-jobs.js").Jobs} jobs
   * @param {import("./studio-media.js").Media} media
   * @param {import("./studio-deeds.js").Deeds} deeds
   */
  constructor(jobs, media, deeds) {
    this.#jobs = jobs;
    this.#media = media;
    this.#deeds = deeds;
    on(jobs, "job", (/** @type {Job} */ job) => {
      if (job.id === this.#job?.id && this.#dialog.open) this.#show(job);
    });
    for (const name of ["removed", "create"]) {
      deeds.addEventListener(name, () => this.#dialog.close());
    }
    on(deeds, "said", (/** @type {string} */ text) => say(byId("viewer-said"), text));
    byId("viewer-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      // Videos and sounds end with it.
      byId("viewer-files").replaceChildren();
      this.#drawn = "";
      this.#job = null;
    });
  }

  /** @param {Job} job */
  open(job) {
    say(byId("viewer-said"), "");
    this.#show(job);
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#drawn = "";
    if (this.#job) this.#show(this.#job);
  }

  /** @param {Job} job */
  #show(job) {
    this.#job = job;
    byId("viewer-title").textContent = nameOf(job);
    say(byId("viewer-state"), [job.title, stateWords(job), moment(job.created_at)].join(" · "));
    say(byId("viewer-error"), errorWords(job));
    const wanted = `${job.id} ${job.state} ${job.files.length}`;
    if (wanted === this.#drawn) return;
    this.#drawn = wanted;
    byId("viewer-files").replaceChildren(...job.files.map((file) => this.#file(job, file)));
    byId("viewer-deeds").replaceChildren(...this.#buttons(job));
    this.#fold("viewer-params", job.params);
    this.#fold("viewer-values", job.values);
    const lines = this.#jobs.log(job.id);
    byId("viewer-log").hidden = !lines.length;
    byId("viewer-log-text").textContent = lines.join("\n");
  }

  /**
   * @param {string} id
   * @param {Record<string, any>} values
   */
  #fold(id, values) {
    byId(id).hidden = Object.keys(values ?? {}).length === 0;
    byId(`${id}-text`).textContent = JSON.stringify(values, null, 2);
  }

  /** @param {Job} job */
  #buttons(job) {
    if (isPending(job)) return [];
    return [
      worded("again", "deed.run", () => this.#deeds.again(job)),
      worded("edit", "deed.edit", () => this.#deeds.edit(job)),
      worded("copy", "deed.copy", () => this.#deeds.copySettings(job)),
      twice(worded("remove", "deed.remove", () => undefined), () => this.#deeds.remove(job)),
    ];
  }

  /**
   * @param {Job} job
   * @param {JobFile} file
   */
  #file(job, file) {
    const bar = el(
      "figcaption",
      {},
      el("span", { class: "name", title: file.name }, file.name),
      el("span", { class: "note" }, size(file.bytes)),
      iconButton("download", `${t("deed.download")}: ${file.name}`, () => {
        void this.#deeds.download(file);
      }),
      ...this.#uses(job, file),
    );
    return el("figure", { "data-testid": `file-${file.name}` }, this.#media.whole(file), bar);
  }

  /**
   * A choice of the inputs that take a file.
   * @param {Job} job
   * @param {JobFile} file
   */
  #uses(job, file) {
    const uses = this.#deeds.uses(file);
    if (!uses.length) return [];
    const label = `${t("deed.use")}: ${file.name}`;
    const select = /** @type {HTMLSelectElement} */ (
      el("select", { "aria-label": label, "data-testid": "use" })
    );
    select.append(el("option", { value: "" }, t("deed.use")));
    for (const [n, { title, input }] of uses.entries()) {
      select.append(el("option", { value: String(n) }, `${title} · ${input}`));
    }
    select.addEventListener("change", () => {
      const use = uses[Number(select.value)];
      if (select.value !== "" && use) this.#deeds.use(job, file, use);
    });
    return [select];
  }
}

/**
 * @param {import("./studio-parts.js").Icon} name
 * @param {string} key Of its text.
 * @param {() => void} act
 */
function worded(name, key, act) {
  const attributes = { type: "button", class: "button tool", "data-do": name };
  const node = el("button", attributes, icon(name), el("span", {}, t(key)));
  node.addEventListener("click", act);
  return node;
}

/**
 * Only a second click does it: what is removed does not come back.
 * @param {HTMLElement} node
 * @param {() => void} act
 */
function twice(node, act) {
  const text = /** @type {HTMLElement} */ (node.lastElementChild);
  const plain = text.textContent;
  node.addEventListener("click", () => {
    if (node.dataset.sure) return act();
    node.dataset.sure = "true";
    text.textContent = t("deed.sure");
  });
  node.addEventListener("blur", () => {
    delete node.dataset.sure;
    text.textContent = plain;
  });
  return node;
}
