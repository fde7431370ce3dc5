/** The avatar's view: stage, dock, cards and figures around one session. */

import { AvatarCards } from "./avatars.js";
import { Catalog } from "./catalog.js";
import { Dock } from "./dock.js";
import { byId, on } from "./dom.js";
import { FrameWatch } from "./frames.js";
import { t } from "./i18n.js";
import { SwitchTimer } from "./latency.js";
import { Link } from "./link.js";
import { Panel } from "./panel.js";
import { Problem } from "./problem.js";
import { Session } from "./session.js";
import { Speech } from "./speech.js";
import { Stage } from "./stage.js";
import { Trouble } from "./trouble.js";

export class AvatarView {
  #stage = new Stage();
  #dock = new Dock();
  #panel = new Panel();
  #frames = new FrameWatch(this.#stage.picture.video);
  #timer = new SwitchTimer(this.#frames);
  #catalog;
  #trouble;
  #cards;
  #session;
  #autoconnect;
  /** @type {string|null} */
  #chosen;
  /** The avatar that the session is about. */
  #connected = "";
  /** @type {string|null} */
  #state = null;
  /** Whether what was left is to be connected again on return. */
  #revive = false;
  #bufferMs = 0;

  /**
   * @param {import("./api.js").Api} api
   * @param {{avatarId: string|null, autoconnect: boolean}} options
   */
  constructor(api, { avatarId, autoconnect }) {
    this.#catalog = new Catalog(api);
    this.speech = new Speech(api, this.#stage.picture);
    this.#cards = new AvatarCards(this.#catalog);
    this.#session = new Session(() => new Link(api, { video_id: this.#connected }));
    this.#chosen = avatarId;
    this.#autoconnect = autoconnect;
    this.#trouble = new Trouble({
      connect: () => this.#connect(),
      retry: () => this.#session.retryNow(),
      reload: () => this.#catalog.refresh(),
      play: () => this.#stage.picture.resume(),
    });
    this.#followUser();
    this.#followSession();
    this.#followCatalog();
    this.#catalog.follow();
    this.render();
  }

  /**
   * @param {number} n
   * @param {number} at
   */
  pressNth(n, at) {
    this.#dock.press(n, at);
  }

  toggleConnection() {
    this.#dock.toggle();
  }

  toggleFullscreen() {
    this.#stage.picture.toggleFullscreen();
  }

  /** The view is on the screen again. */
  enter() {
    if (this.#revive) this.#connect();
    this.#revive = false;
  }

  /** The view is no longer on the screen. */
  leave() {
    if (!this.#session.active) return;
    this.#revive = true;
    this.#session.disconnect();
  }

  /** @param {boolean} visible Whether anybody can see the page. */
  set visible(visible) {
    this.#session.visible = visible;
    // Phones pause videos in pages that are put away.
    if (visible) this.#resume();
  }

  /** The network is back. */
  online() {
    this.#session.retryNow();
    this.#catalog.refresh();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#cards.render();
    this.#dock.render();
    this.#panel.render();
    this.speech.render();
    this.#trouble.render();
    this.#showAvatar();
    this.#showStatus();
  }

  #followUser() {
    this.#dock.addEventListener("connect", () => this.#connect());
    byId("start").addEventListener("click", () => this.#connect());
    this.#dock.addEventListener("disconnect", () => this.#session.disconnect());
    on(this.#dock, "ask", ({ name, at }) => this.#ask(name, at));
    on(this.#cards, "choose", (/** @type {string} */ id) => this.#choose(id));
  }

  #followSession() {
    on(this.#session, "phase", (info) => this.#phaseChanged(info));
    on(this.#session, "stream", (stream) => this.#play(stream));
    on(this.#session, "stats", (/** @type {import("./stats.js").LiveStats} */ stats) => {
      this.#bufferMs = stats.bufferMs;
      this.#panel.show({ ...stats, freezes: stats.freezes ?? this.#frames.freezes });
      const { codec, width, height } = stats;
      this.#stage.showFormat(width ? `${codec} · ${width} × ${height}` : "");
    });
    on(this.#session, "message", (message) => this.#messageCame(message));
    this.#frames.addEventListener("frame", () => this.#session.noteFrame());
    on(this.#timer, "measured", (time) => this.#panel.showSwitch(time));
  }

  #followCatalog() {
    this.#catalog.addEventListener("change", () => this.#catalogChanged());
    this.#catalog.addEventListener("recovered", () => {
      this.#session.retryNow();
      this.#showChoice();
    });
    on(this.#catalog, "trouble", (/** @type {Problem} */ problem) => {
      this.#cards.render();
      if (this.#session.info.phase === "idle") this.#trouble.showCatalog(problem);
    });
  }

  #connect() {
    const avatar = this.#catalog.find(this.#chosen);
    if (!avatar || avatar.status === "failed") return;
    this.#autoconnect = false;
    this.#connected = avatar.id;
    this.#session.connect();
  }

  /** @param {string} id */
  #choose(id) {
    if (id === this.#chosen) return;
    this.#chosen = id;
    this.#cards.chosen = id;
    const { active, info } = this.#session;
    if (active) this.#connect();
    else if (info.phase === "failed") this.#session.disconnect();
    else this.#showChoice();
    this.#showAvatar();
  }

  #catalogChanged() {
    if (!this.#chosen) {
      const { avatars } = this.#catalog;
      const first = avatars.find(({ status }) => status === "ready") ?? avatars[0];
      this.#chosen = first?.id ?? null;
    }
    this.#cards.chosen = this.#chosen;
    this.#showAvatar();
    this.#showChoice();
    this.#followCompiling();
    if (this.#autoconnect && this.#chosen) this.#connect();
  }

  /** A session that waits for its avatar shows how far that is, and starts once it is ready. */
  #followCompiling() {
    const { active, info } = this.#session;
    if (!active || info.problem?.kind !== "AvatarCompiling") return;
    const avatar = this.#catalog.find(this.#chosen);
    if (avatar?.status === "ready") this.#session.retryNow();
    else this.#trouble.showSession(info, avatar);
  }

  #showChoice() {
    const idle = this.#session.info.phase === "idle" && this.#catalog.loaded;
    if (idle) this.#trouble.showChoice(this.#chosen, this.#catalog.find(this.#chosen));
  }

  /** @param {import("./session.js").PhaseInfo} info */
  #phaseChanged(info) {
    const { phase, problem } = info;
    if (phase === "reconnecting" || phase === "failed") this.#stage.picture.keep();
    if (phase === "connected") this.#stage.picture.dropKept();
    if (phase === "idle" || (phase === "connecting" && !problem)) this.#stage.clear();
    if (phase !== "connected") {
      this.#panel.clear();
      this.#timer.cancel();
      this.#state = null;
    }
    this.#dock.setPhase(phase);
    this.speech.setPhase(phase, this.#session.link);
    if (this.#state) this.#dock.setCurrent(this.#state);
    this.#showStatus();
    if (problem) {
      this.#trouble.showSession(info, this.#catalog.find(this.#chosen));
      return;
    }
    this.#trouble.hide();
    if (phase === "idle") this.#showChoice();
    // Where the browser wants a click before it plays, the notice must ask for it again.
    if (phase === "connected") this.#resume();
  }

  #showStatus() {
    const { phase, problem } = this.#session.info;
    const waiting = phase === "connecting" && problem;
    this.#stage.setPhase(phase, t(`phase.${waiting ? "waiting" : phase}`));
    byId("start").hidden = phase !== "idle" || !document.body.classList.contains("embed");
  }

  #showAvatar() {
    const avatar = this.#catalog.find(this.#chosen);
    this.#stage.showAvatar(avatar, this.#catalog.poster(avatar?.id));
    this.#dock.showAvatar(avatar);
  }

  /** @param {MediaStream} stream */
  async #play(stream) {
    this.#frames.reset();
    if (!(await this.#stage.picture.play(stream))) this.#trouble.askForClick();
  }

  async #resume() {
    if (this.#session.active && !(await this.#stage.picture.resume())) this.#trouble.askForClick();
  }

  /** @param {{subject: string, payload: any}} message */
  #messageCame(message) {
    const { subject, payload } = message;
    if (this.speech.take(message)) return;
    if (subject === "stream/state" || subject === "stream/ready") {
      this.#state = payload.state;
      if (this.#session.info.phase === "connected") this.#dock.setCurrent(this.#state);
      this.#timer.announced(
        payload.state,
        payload.rtp_timestamp,
        performance.now(),
        this.#bufferMs,
      );
    } else if (subject === "stream/error") {
      this.#showSlip(new Problem(payload.kind, payload.description));
    }
  }

  /**
   * @param {string} name
   * @param {number} at
   */
  async #ask(name, at) {
    // Asking for what is already on the screen changes no picture.
    if (name !== this.#state) this.#timer.pressed(name, at);
    try {
      await this.#session.link?.setState(name);
      this.#trouble.clearSlip();
    } catch (error) {
      this.#timer.cancel();
      this.#dock.release(name);
      this.#showSlip(Problem.from(error));
    }
  }

  /** @param {Problem} problem One that doesn't touch the picture. */
  #showSlip(problem) {
    if (this.#session.info.phase === "connected") this.#trouble.showSlip(problem);
  }
}
