/** Wires the parts of the studio together. */

import "./studio-texts.js";
import { askToken } from "./dialogs.js";
import { byId, on, say } from "./dom.js";
import { Http } from "./http.js";
import { language, translatePage } from "./i18n.js";
import { followPage } from "./lifecycle.js";
import { Problem } from "./problem.js";
import { StudioApi } from "./studio-api.js";
import { CreateView } from "./studio-create.js";
import { Deeds } from "./studio-deeds.js";
import { Feed } from "./studio-feed.js";
import { Gallery } from "./studio-gallery.js";
import { Jobs } from "./studio-jobs.js";
import { Media } from "./studio-media.js";
import { MemoryPlots } from "./studio-memory.js";
import { ModelsView } from "./studio-models.js";
import { problemWords } from "./studio-parts.js";
import { Queue } from "./studio-queue.js";
import { Viewer } from "./studio-viewer.js";
import { followPastes } from "./studio-pastes.js";
import { Tabs } from "./tabs.js";

const picker = /** @type {HTMLSelectElement} */ (byId("language"));
picker.value = language.code;
picker.addEventListener("change", () => {
  language.code = picker.value;
});
translatePage();

const api = new StudioApi(new Http(askToken));
const media = new Media(api);
const feed = new Feed(api);
const jobs = new Jobs(api, feed);
const memory = new MemoryPlots(api);
const create = new CreateView(api, jobs, media);
const deeds = new Deeds(api, jobs, media, create);
const queue = new Queue(api, jobs, media);
const gallery = new Gallery(api, jobs, media, deeds);
const models = new ModelsView(api, memory);
const viewer = new Viewer(jobs, media, deeds);
new Tabs({ create, gallery, models });

for (const part of [queue, gallery, create.result]) {
  on(part, "open", (job) => viewer.open(job));
}
create.addEventListener("generators", () => {
  gallery.generators = create.generators;
});
deeds.addEventListener("create", () => {
  location.hash = "#create";
});
on(deeds, "said", tell);
on(queue, "wrong", (error) => tell(problemWords(Problem.from(error))));
on(feed, "lost", (problem) => {
  say(byId("lost"), problemWords(problem));
});
feed.addEventListener("open", () => {
  say(byId("lost"), "");
  void create.load();
});
followPastes({
  files: (files) => create.take(files),
  settings: (settings) => {
    if (create.fill(settings)) location.hash = "#create";
  },
});
language.addEventListener("change", () => {
  for (const part of [create, queue, gallery, models, viewer]) part.render();
});
followPage({
  visible: (visible) => {
    feed.running = visible;
    memory.visible = visible;
  },
  online: () => feed.hurry(),
  leave: () => {
    feed.running = false;
  },
  restore: () => {
    feed.running = true;
  },
});
queue.render();
void create.load();
feed.running = !document.hidden;

/** @param {string} text Told until the next one. */
function tell(text) {
  say(byId("said"), text);
}

