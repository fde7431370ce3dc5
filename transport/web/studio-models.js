/** The models that generators use: where they are, how they are, and how to get them. */

import { byId, el, say } from "./dom.js";
import { t } from "./i18n.js";
import { Problem } from "./problem.js";
import { size } from "./studio-format.js";
import { copyButton, problemWords } from "./studio-parts.js";

/** @typedef {import("./studio-api.js").Model} Model */

export class ModelsView {
  #api;
  #memory;
  #body = byId("models");
  #search = /** @type {HTMLInputElement} */ (byId("models-search"));
  /** @type {Model[]|null} */
  #models = null;

  /**
   * @param {import("./studio-api.js").StudioApi} api
   * @param {import("./studio-memory.js").MemoryPlots} memory
   */
  constructor(api, memory) {
    this.#api = api;
    this.#memory = memory;
    this.#search.addEventListener("input", () => this.render());
  }

  enter() {
    this.#memory.shown = true;
    void this.#read();
  }

  leave() {
    this.#memory.shown = false;
  }

  /** Writes everything in the page's language. */
  render() {
    this.#memory.render();
    if (!this.#models) return;
    const wanted = this.#search.value.trim().toLowerCase();
    const shown = this.#models.filter((model) =>
      [model.id, model.title, model.vendor, model.purpose, model.licence]
        .join(" ")
        .toLowerCase()
        .includes(wanted),
    );
    this.#body.replaceChildren(...shown.map(row));
    byId("models-table").hidden = !shown.length;
    say(byId("models-hint"), shown.length ? "" : t("models.none"));
  }

  async #read() {
    if (!this.#models) say(byId("models-hint"), t("models.loading"));
    try {
      this.#models = await this.#api.models();
      this.render();
    } catch (error) {
      say(byId("models-hint"), problemWords(Problem.from(error)));
    }
  }
}

/** @param {Model} model */
function row(model) {
  const { id, title, bytes, vendor, licence, commercial, purpose, health, places, command } = model;
  const about = [vendor, purpose].filter(Boolean).join(" · ");
  const name = el("th", { scope: "row" }, el("span", { class: "name" }, title || id));
  if (title) name.append(el("code", {}, id));
  name.append(el("span", { class: "note" }, about));
  const chips = places.map((place) => el("span", { class: "tag", "data-place": place }, place));
  const terms = el("td", { "data-label": t("models.licence") }, licence);
  if (!commercial) terms.append(el("span", { class: "note" }, t("models.noncommercial")));
  const state = el(
    "td",
    { "data-label": t("models.health") },
    el("span", { class: "health", "data-health": health }, t(`health.${health}`)),
  );
  if (command && health !== "ready") {
    state.append(el("span", { class: "command" }, el("code", {}, command), copyButton(command)));
  }
  return el(
    "tr",
    { "data-testid": `model-${id}` },
    name,
    el("td", { "data-label": t("models.size"), class: "figure" }, bytes ? size(bytes) : "–"),
    el("td", { "data-label": t("models.place") }, ...(chips.length ? chips : ["–"])),
    state,
    terms,
  );
}
