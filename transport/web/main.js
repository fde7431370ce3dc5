/** Wires the parts of the page together. */

import { Api } from "./api.js";
import { AvatarView } from "./avatar-view.js";
import { CameraView } from "./camera-view.js";
import { askToken, showHelp } from "./dialogs.js";
import { byId } from "./dom.js";
import { Http } from "./http.js";
import { language, translatePage } from "./i18n.js";
import { listen } from "./keys.js";
import { followPage } from "./lifecycle.js";
import { Tabs } from "./tabs.js";

const params = new URLSearchParams(location.search);
document.body.classList.toggle("embed", params.get("embed") === "1");

const picker = /** @type {HTMLSelectElement} */ (byId("language"));
picker.value = language.code;
picker.addEventListener("change", () => {
  language.code = picker.value;
});
translatePage();

const api = new Api(new Http(askToken));
const avatar = new AvatarView(api, {
  avatarId: params.get("avatar"),
  autoconnect: params.get("autoconnect") === "1" && location.hash !== "#camera",
});
const camera = new CameraView(api);
const views = [avatar, camera];
/** @type {Tabs<AvatarView|CameraView>} */
const tabs = new Tabs({ avatar, camera });

language.addEventListener("change", () => {
  for (const view of views) view.render();
});
followPage({
  visible: (visible) => {
    for (const view of views) view.visible = visible;
  },
  online: () => {
    for (const view of views) view.online();
  },
  leave: () => tabs.current.leave(),
  restore: () => tabs.current.enter(),
});
byId("help").addEventListener("click", showHelp);
listen({
  nth: (n, at) => tabs.current.pressNth(n, at),
  connect: () => tabs.current.toggleConnection(),
  fullscreen: () => tabs.current.toggleFullscreen(),
  write: () => avatar.speech.write(),
  hush: () => avatar.speech.stop(),
  mute: () => avatar.speech.toggleMute(),
  help: showHelp,
});
