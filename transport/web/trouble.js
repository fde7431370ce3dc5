/** Which notice belongs to which trouble, and what its button does. */

import { statusText } from "./avatars.js";
import { byId } from "./dom.js";
import { Notice } from "./notice.js";
import { Problem } from "./problem.js";

/**
 * What the notices' buttons do.
 * @typedef {object} Remedies
 * @property {() => void} connect Start the session anew.
 * @property {() => void} retry Make the next attempt now.
 * @property {() => void} reload Read the list of avatars again.
 * @property {() => Promise<boolean>} play Start the picture; whether the browser allowed it.
 */

export class Trouble {
  #notice = new Notice("notice", byId("stage"));
  #remedies;

  /** @param {Remedies} remedies */
  constructor(remedies) {
    this.#remedies = remedies;
  }

  hide() {
    this.#notice.hide();
  }

  /** Writes everything in the page's language. */
  render() {
    this.#notice.render();
  }

  /**
   * A session lost its connection or can't get one.
   * @param {import("./session.js").PhaseInfo} info
   * @param {import("./api.js").Avatar|undefined} avatar
   */
  showSession({ phase, problem, retryAt }, avatar) {
    if (!problem) return;
    const { connect, retry } = this.#remedies;
    if (problem.kind === "AvatarCompiling" && avatar) {
      const progress = { share: avatar.progress, text: statusText(avatar) };
      this.#notice.show(problem, { shape: "cover", progress });
    } else if (phase === "failed") {
      this.#notice.show(problem, { shape: "cover", action: "action.again", onAction: connect });
    } else {
      const next = { retryAt, retrying: true };
      const button = { action: "action.retryNow", onAction: retry };
      this.#notice.show(problem, { shape: "cover", ...button, ...next });
    }
  }

  /**
   * Without a session only the chosen avatar itself can be in trouble.
   * @param {string|null} chosen
   * @param {import("./api.js").Avatar|undefined} avatar
   */
  showChoice(chosen, avatar) {
    if (avatar?.status === "failed") {
      this.#notice.show(new Problem("AvatarFailed", avatar.error?.description), { shape: "cover" });
    } else if (chosen && !avatar) {
      this.#notice.show(new Problem("AvatarNotFound"), { shape: "cover" });
    } else {
      this.#notice.hide();
    }
  }

  /**
   * The list of avatars can't be read.
   * @param {Problem} problem
   */
  showCatalog(problem) {
    const wantsToken = problem.kind === "Unauthorized";
    const button = { action: "action.token", onAction: this.#remedies.reload };
    this.#notice.show(problem, { shape: "cover", ...(wantsToken ? button : {}) });
  }

  /** The browser doesn't start the picture by itself. */
  askForClick() {
    const onAction = async () => {
      if (await this.#remedies.play()) this.#notice.hide();
    };
    const options = { action: "action.play", onAction };
    this.#notice.show(new Problem("AutoplayBlocked"), { shape: "cover", ...options });
  }

  /**
   * Something failed that doesn't touch the picture.
   * @param {Problem} problem
   */
  showSlip(problem) {
    const onAction = () => this.#notice.hide();
    this.#notice.show(problem, { shape: "strip", action: "action.dismiss", onAction });
  }

  /** What failed before has worked now. */
  clearSlip() {
    if (this.#notice.shape === "strip") this.#notice.hide();
  }
}
