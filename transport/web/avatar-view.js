/** The avatar's view: stage, dock, cards and figures around one session. */

import { AvatarCards, statusText } from "./avatars.js";
import { Catalog } from "./catalog.js";
import { Dock } from "./dock.js";
import { byId } from "./dom.js";
import { FrameWatch } from "./frames.js";
import { t } from "./i18n.js";
import { SwitchTimer } from "./latency.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import { Problem } from "./problem.js";
import { Session } from "./session.js";
import { Stage } from "./stage.js";

/**
 * @template T
 * @param {EventTarget} target
 * @param {string} name
 * @param {(detail: T) => void} handler
 */
function on(target, name, handler) {
  target.addEventListener(name, (event) => handler(/** @type {CustomEvent} */ (event).detail));
}

export class AvatarView {
  #stage = new Stage();
  #notice = new Notice();
  #dock = new Dock();
  #panel = new Panel();
  #frames = new FrameWatch(this.#stage.video);
  #timer = new SwitchTimer(this.#frames);
  #catalog;
  #cards;
  #session;
  #autoconnect;
  /** @type {string|null} */
  #chosen;
  /** @type {string|null} */
  #state = null;
  #bufferMs = 0;

  /**
   * @param {import("./api.js").Api} api
   * @param {{avatarId: string|null, autoconnect: boolean}} options
   */
  constructor(api, { avatarId, autoconnect }) {
    this.#catalog = new Catalog(api);
    this.#cards = new AvatarCards(this.#catalog);
    this.#session = new Session(api);
    this.#chosen = avatarId;
    this.#autoconnect = autoconnect;
    this.#followUser();
    this.#followSession();
    this.#followPage();
    this.#catalog.addEventListener("change", () => this.#catalogChanged());
    this.#catalog.addEventListener("recovered", () => {
      this.#session.retryNow();
      if (!this.#session.active) this.#showIdleNotice();
    });
    on(this.#catalog, "trouble", (problem) => this.#catalogTrouble(problem));
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
    this.#stage.toggleFullscreen();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#cards.render();
    this.#dock.render();
    this.#panel.render();
    this.#notice.render();
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

  #followPage() {
    document.addEventListener("visibilitychange", () => {
      this.#session.visible = !document.hidden;
      // Phones pause videos in pages that are put away.
      if (!document.hidden) this.#resume();
    });
    window.addEventListener("online", () => {
      this.#session.retryNow();
      this.#catalog.refresh();
    });
    // Browsers announce that a page may be kept (`persisted`) for pages that they then drop, so its
    // session ends in any case; a page that does come back connects again.
    let revive = false;
    window.addEventListener("pagehide", () => {
      revive = this.#session.active;
      this.#session.disconnect();
    });
    window.addEventListener("pageshow", ({ persisted }) => {
      if (persisted && revive) this.#connect();
    });
  }

  #connect() {
    const avatar = this.#catalog.find(this.#chosen);
    if (!avatar || avatar.status === "failed") return;
    this.#autoconnect = false;
    this.#session.connect(avatar.id);
  }

  /** @param {string} id */
  #choose(id) {
    if (id === this.#chosen) return;
    this.#chosen = id;
    this.#cards.chosen = id;
    const { active, info } = this.#session;
    if (active) this.#connect();
    else if (info.phase === "failed") this.#session.disconnect();
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
    if (!this.#session.active) this.#showIdleNotice();
    this.#followCompiling();
    if (this.#autoconnect && this.#chosen) this.#connect();
  }

  /** A session that waits for its avatar shows how far that is, and starts once it is ready. */
  #followCompiling() {
    const { phase, problem, retryAt } = this.#session.info;
    if (!this.#session.active || problem?.kind !== "AvatarCompiling") return;
    if (this.#catalog.find(this.#chosen)?.status === "ready") this.#session.retryNow();
    else this.#showTrouble(phase, problem, retryAt);
  }

  /** @param {Problem} problem */
  #catalogTrouble(problem) {
    this.#cards.render();
    if (this.#session.info.phase !== "idle") return;
    const options = problem.kind === "Unauthorized"
      ? { action: "action.token", onAction: () => this.#catalog.refresh() }
      : {};
    this.#notice.show(problem, { shape: "cover", ...options });
  }

  /** Without a session only the chosen avatar itself can be in trouble. */
  #showIdleNotice() {
    if (this.#session.info.phase !== "idle") return;
    const avatar = this.#catalog.find(this.#chosen);
    if (avatar?.status === "failed") {
      this.#notice.show(new Problem("AvatarFailed", avatar.error?.description), { shape: "cover" });
    } else if (this.#chosen && !avatar) {
      this.#notice.show(new Problem("AvatarNotFound"), { shape: "cover" });
    } else {
      this.#notice.hide();
    }
  }

  /** @param {import("./session.js").PhaseInfo} info */
  #phaseChanged({ phase, problem, retryAt }) {
    if (phase === "reconnecting" || phase === "failed") this.#stage.keepPicture();
    if (phase === "connected") this.#stage.dropKept();
    if (phase === "idle" || (phase === "connecting" && !problem)) this.#stage.clear();
    if (phase !== "connected") {
      this.#panel.clear();
      this.#timer.cancel();
      this.#state = null;
    }
    this.#dock.setPhase(phase);
    if (this.#state) this.#dock.setCurrent(this.#state);
    this.#showStatus();
    if (phase === "idle" && this.#catalog.loaded) this.#showIdleNotice();
    else if (!problem) {
      this.#notice.hide();
      // Still not playing: the browser wants a click, and the notice must ask for it again.
      if (phase === "connected") this.#resume();
    } else this.#showTrouble(phase, problem, retryAt);
  }

  /**
   * @param {import("./session.js").Phase} phase
   * @param {Problem} problem
   * @param {number|null} retryAt
   */
  #showTrouble(phase, problem, retryAt) {
    const avatar = this.#catalog.find(this.#chosen);
    if (problem.kind === "AvatarCompiling" && avatar) {
      const progress = { share: avatar.progress, text: statusText(avatar) };
      this.#notice.show(problem, { shape: "cover", progress });
    } else if (phase === "failed") {
      const onAction = () => this.#connect();
      this.#notice.show(problem, { shape: "cover", action: "action.again", onAction });
    } else {
      const onAction = () => this.#session.retryNow();
      const action = retryAt ? "action.retryNow" : undefined;
      this.#notice.show(problem, { shape: "cover", action, onAction, retryAt, retrying: true });
    }
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
    if (!(await this.#stage.play(stream))) this.#askForClick();
  }

  async #resume() {
    if (this.#session.active && !(await this.#stage.resume())) this.#askForClick();
  }

  #askForClick() {
    const onAction = async () => {
      if (await this.#stage.resume()) this.#notice.hide();
    };
    const problem = new Problem("AutoplayBlocked");
    this.#notice.show(problem, { shape: "cover", action: "action.play", onAction });
  }

  /** @param {{subject: string, payload: any}} message */
  #messageCame({ subject, payload }) {
    if (subject === "stream/state" || subject === "stream/ready") {
      this.#state = payload.state;
      if (this.#session.info.phase === "connected") this.#dock.setCurrent(this.#state);
      this.#timer.announced(payload.state, payload.rtp_timestamp, performance.now(), this.#bufferMs);
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
      await this.#session.setState(name);
      if (this.#notice.problem && this.#session.info.phase === "connected") this.#notice.hide();
    } catch (error) {
      this.#timer.cancel();
      this.#dock.release(name);
      this.#showSlip(Problem.from(error));
    }
  }

  /** @param {Problem} problem One that doesn't touch the picture. */
  #showSlip(problem) {
    if (this.#session.info.phase !== "connected") return;
    const onAction = () => this.#notice.hide();
    this.#notice.show(problem, { shape: "strip", action: "action.dismiss", onAction });
  }
}
