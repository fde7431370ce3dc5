/** Wires the parts of the page together. */

import { Api } from "./api.js";
import { AvatarView } from "./avatar-view.js";
import { askToken, showHelp } from "./dialogs.js";
import { byId } from "./dom.js";
import { language, translatePage } from "./i18n.js";
import { listen } from "./keys.js";

const params = new URLSearchParams(location.search);
document.body.classList.toggle("embed", params.get("embed") === "1");

const picker = /** @type {HTMLSelectElement} */ (byId("language"));
picker.value = language.code;
picker.addEventListener("change", () => {
  language.code = picker.value;
});
translatePage();

const view = new AvatarView(new Api(askToken), {
  avatarId: params.get("avatar"),
  autoconnect: params.get("autoconnect") === "1",
});
language.addEventListener("change", () => view.render());
byId("help").addEventListener("click", showHelp);
listen({
  nth: (n, at) => view.pressNth(n, at),
  connect: () => view.toggleConnection(),
  fullscreen: () => view.toggleFullscreen(),
  help: showHelp,
});
