/** The camera's view: the own picture, the processed one, buttons and figures. */

import { openCamera } from "./camera.js";
import { CameraChooser } from "./camera-chooser.js";
import { CameraLink } from "./camera-link.js";
import { CameraPanel } from "./camera-panel.js";
import { CameraStage } from "./camera-stage.js";
import { CameraWish } from "./camera-wish.js";
import { makeRoom } from "./dock.js";
import { byId, on } from "./dom.js";
import { FaceSwap } from "./face-swap.js";
import { FrameWatch } from "./frames.js";
import { GlassMeter } from "./glass.js";
import { t } from "./i18n.js";
import { Pacer } from "./pacer.js";
import { Problem } from "./problem.js";
import { ProcessorButtons } from "./processors.js";
import { Session } from "./session.js";

/** Between two changes of a running stream. */
const CHANGE_MS = 100;

export class CameraView {
  #stage = new CameraStage();
  #panel = new CameraPanel();
  #processors = new ProcessorButtons();
  #changes = new Pacer(() => this.#change(), CHANGE_MS);
  #chooser = new CameraChooser();
  #frames = new FrameWatch(this.#stage.processed.video);
  #meter = new GlassMeter(this.#frames, this.#stage.processed.video);
  #start = /** @type {HTMLButtonElement} */ (byId("camera-start"));
  #stop = /** @type {HTMLButtonElement} */ (byId("camera-stop"));
  #session;
  #swap;
  #wish;
  /** @type {import("./camera.js").Camera|null} */
  #camera = null;
  /** Aborted when the camera that is being opened is no longer wanted. */
  #opening = /** @type {AbortController|null} */ (null);
  /** Why there is no camera. @type {Problem|null} */
  #problem = null;
  #bypassed = "";

  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.#swap = new FaceSwap(api);
    this.#wish = new CameraWish(this.#processors, this.#swap);
    this.#session = new Session(() => {
      const track = /** @type {import("./camera.js").Camera} */ (this.#camera).track;
      return new CameraLink(api, track, this.#wish);
    });
    this.#start.addEventListener("click", () => this.start());
    this.#stop.addEventListener("click", () => this.stop());
    this.#chooser.addEventListener("change", () => this.#switchCamera());
    this.#processors.addEventListener("change", () => this.#processorsChanged());
    this.#followSwap();
    this.#followSession();
    makeRoom(/** @type {HTMLElement} */ (this.#start.closest(".dock")));
    this.render();
  }

  /** Switches the camera on and sends it. */
  async start() {
    if (this.#opening || this.#session.active) return;
    this.#problem = null;
    if (await this.#open()) this.#session.connect();
  }

  /** Ends everything; the camera's light goes out. */
  stop() {
    this.#problem = null;
    this.#session.disconnect();
    this.#close();
    this.#show();
  }

  /** The view is on the screen; the camera is only switched on when asked to. */
  enter() {
    this.#chooser.refresh();
  }

  /** The view is no longer on the screen. */
  leave() {
    this.stop();
  }

  /** @param {number} n */
  pressNth(n) {
    this.#processors.press(n);
  }

  toggleConnection() {
    (this.#start.hidden ? this.#stop : this.#start).click();
  }

  toggleFullscreen() {
    this.#stage.processed.toggleFullscreen();
  }

  /** @param {boolean} visible Whether anybody can see the page. */
  set visible(visible) {
    this.#session.visible = visible;
    if (visible && this.#camera) this.#stage.resume();
  }

  /** The network is back. */
  online() {
    this.#session.retryNow();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#processors.render();
    this.#swap.render();
    this.#chooser.render();
    this.#panel.render();
    this.#stage.render();
    this.#show();
  }

  #followSwap() {
    this.#swap.addEventListener("change", () => this.#changes.ask());
    for (const [event, any] of /** @type {const} */ ([
      ["first", true],
      ["none", false],
    ])) {
      this.#swap.addEventListener(event, () => {
        this.#processors.turn("face_swap", any);
        this.#changes.ask();
      });
    }
  }

  #followSession() {
    on(this.#session, "phase", (info) => this.#phaseChanged(info));
    on(this.#session, "stream", (/** @type {MediaStream} */ stream) => {
      this.#frames.reset();
      this.#stage.play(stream);
    });
    on(this.#session, "stats", (stats) => this.#panel.showStats(stats));
    on(this.#session, "figures", (/** @type {import("./camera-link.js").Figures} */ figures) => {
      this.#panel.showFigures(figures);
      if (figures.swap) this.#swap.showServers(figures.swap);
      this.#tellBypassed(figures.pipeline.bypassed.join(", "));
    });
    this.#frames.addEventListener("frame", () => this.#session.noteFrame());
    on(this.#meter, "measured", (/** @type {number} */ ms) => this.#panel.showLatency(ms));
  }

  /** @param {string} names Told once, so that it can be dismissed. */
  #tellBypassed(names) {
    if (names && names !== this.#bypassed) {
      this.#stage.slip(new Problem("ProcessorBypassed", names));
    }
    this.#bypassed = names;
  }

  /** @param {import("./session.js").PhaseInfo} info */
  #phaseChanged({ phase, problem }) {
    if (phase === "reconnecting" || phase === "failed") this.#stage.processed.keep();
    if (phase === "connected") {
      this.#stage.processed.dropKept();
      if (this.#camera?.stamper) this.#meter.start(this.#camera.stamper);
      // A button may have been pressed while the connection was being made.
      this.#changes.ask();
    } else {
      this.#meter.stop();
      this.#panel.clear();
    }
    if (phase === "idle" || (phase === "connecting" && !problem)) this.#stage.processed.clear();
    if (phase === "failed") {
      this.#problem = problem;
      this.#close();
    }
    this.#show();
  }

  /** @returns {Promise<boolean>} Whether there is a camera now that is still wanted. */
  async #open() {
    const opening = new AbortController();
    this.#opening = opening;
    this.#show();
    try {
      const camera = await openCamera(this.#chooser.wish);
      if (opening.signal.aborted) {
        camera.stop();
        return false;
      }
      this.#camera?.stop();
      this.#camera = camera;
      camera.addEventListener("lost", () => {
        if (this.#camera === camera) this.#fail(new Problem("CameraLost"));
      });
      this.#stage.showOwn(camera.stream);
      this.#opening = null;
      await this.#chooser.refresh(camera.deviceId);
      return this.#camera === camera;
    } catch (error) {
      if (!opening.signal.aborted) this.#fail(Problem.from(error));
      return false;
    }
  }

  #close() {
    this.#opening?.abort();
    this.#opening = null;
    this.#camera?.stop();
    this.#camera = null;
    this.#stage.showOwn(null);
  }

  /** @param {Problem} problem Of the camera itself. */
  #fail(problem) {
    this.#session.disconnect();
    this.#close();
    this.#problem = problem;
    this.#show();
  }

  /** Another camera takes the place of the one that runs; the connection stays. */
  async #switchCamera() {
    if (!this.#camera || this.#opening) return;
    // Many cameras cannot be open twice, not even at two sizes.
    this.#camera.stop();
    if (!(await this.#open()) || !this.#camera) return;
    const { track, stamper } = this.#camera;
    await this.#session.link?.replaceTrack(track);
    if (stamper && this.#session.info.phase === "connected") this.#meter.start(stamper);
    this.#show();
  }

  #processorsChanged() {
    if (this.#processors.chosen.includes("face_swap") && !this.#swap.possible) {
      this.#processors.turn("face_swap", false);
      this.#swap.invite();
    }
    this.#changes.ask();
  }

  /** Has the running stream changed to what the user wants of it. */
  async #change() {
    if (this.#session.info.phase !== "connected") return;
    let aboutFaces = false;
    try {
      await this.#wish.change(async (change) => {
        aboutFaces = Boolean(change.face_swap);
        this.#processors.busy = true;
        await this.#session.link?.change(change);
        this.#stage.clearSlip();
      });
    } catch (error) {
      if (aboutFaces) this.#swap.tell(Problem.from(error));
      else this.#stage.slip(Problem.from(error));
    } finally {
      this.#processors.busy = false;
    }
  }

  #show() {
    const { info } = this.#session;
    const starting = this.#opening && !this.#session.active;
    const phase = starting ? "connecting" : this.#problem ? "failed" : info.phase;
    const active = phase !== "idle" && phase !== "failed";
    const focused = document.activeElement;
    this.#start.hidden = active;
    this.#stop.hidden = !active;
    // The button that was pressed is gone: the one in its place takes the focus.
    if (active && focused === this.#start) this.#stop.focus();
    if (!active && focused === this.#stop) this.#start.focus();
    byId("camera-stop-label").textContent = t(phase === "connecting" ? "dock.cancel" : "camera.stop");
    this.#stage.show(phase, this.#problem ?? info.problem, info.retryAt, {
      start: () => this.start(),
      retry: () => this.#session.retryNow(),
    });
  }
}
