/** What the avatar says: the controls below the stage, captions and sound on it. */

import { Captions } from "./captions.js";
import { Composer } from "./composer.js";
import { byId, on } from "./dom.js";
import { t } from "./i18n.js";
import { SoundLevel } from "./level.js";
import { Problem } from "./problem.js";
import { Sound } from "./sound.js";
import { PushToTalk } from "./talk.js";
import { Utterances } from "./utterances.js";
import { words } from "./words.js";

export class Speech {
  #api;
  #sound;
  #composer = new Composer();
  #talk = new PushToTalk();
  #captions = new Captions();
  #level = new SoundLevel();
  #utterances = new Utterances();
  #root = byId("speech");
  #status = byId("speech-status");
  #error = byId("speech-error");
  /** The stream that can be spoken through. @type {import("./api.js").StreamKey|null} */
  #key = null;
  /** @type {Problem|null} */
  #problem = null;

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./picture.js").Picture} picture
   */
  constructor(api, picture) {
    this.#api = api;
    this.#sound = new Sound(picture);
    on(this.#composer, "say", (/** @type {string} */ text) => this.#say(text));
    on(this.#composer, "file", (/** @type {File} */ file) => this.#sayFile(file));
    this.#composer.addEventListener("stop", () => this.stop());
    this.#composer.addEventListener("captions", () => this.#saveCaptions());
    this.#talk.addEventListener("talking", () => this.#tell(null));
    on(this.#talk, "trouble", (/** @type {Problem} */ problem) => this.#tell(problem));
    byId("speech-dismiss").addEventListener("click", () => {
      this.#tell(null);
      // The button is gone, and a text box would bring the keyboard up on phones.
      byId("say-send").focus();
    });
    this.#show();
  }

  /**
   * @param {import("./session.js").Phase} phase
   * @param {import("./link.js").Link|null} link
   */
  setPhase(phase, link) {
    if (phase === "connected" && link) {
      this.#attach(link);
      return;
    }
    this.#key = null;
    this.#talk.address = null;
    this.#level.stop();
    this.#utterances = new Utterances();
    this.#captions.clear();
    this.#tell(null);
    this.#composer.ready = false;
    // What is being written stays while the connection is sought again.
    if (phase !== "reconnecting") this.#root.hidden = true;
    this.#sound.offered = false;
    this.#captions.offered = false;
    this.#show();
  }

  /**
   * @param {{subject: string, payload: any}} message
   * @returns {boolean} Whether it was about speech.
   */
  take({ subject, payload }) {
    if (payload.utterance === undefined) return false;
    const { utterance } = payload;
    if (subject === "caption") this.#caption(payload);
    else if (subject === "stream/queued") this.#utterances.queued(utterance);
    else if (subject === "stream/started") this.#started(utterance);
    else if (subject === "stream/done") this.#utterances.ended(utterance);
    else if (subject === "stream/interrupted") this.#interrupted(utterance);
    else if (subject === "stream/error") this.#failed(utterance, payload);
    else return false;
    this.#show();
    return true;
  }

  /** Puts the cursor into the text box. */
  write() {
    if (!this.#root.hidden) this.#composer.focus();
  }

  toggleMute() {
    this.#sound.toggle();
  }

  /** Ends what is being said and what waits. */
  async stop() {
    await this.#try((key) => this.#api.interrupt(key));
  }

  /** Writes everything in the page's language. */
  render() {
    this.#composer.render();
    this.#talk.render();
    this.#show();
    this.#tell(this.#problem);
  }

  /** @param {import("./link.js").Link} link */
  #attach(link) {
    const offer = link.speech;
    const enabled = Boolean(offer?.enabled && link.key);
    this.#root.hidden = !enabled;
    this.#sound.offered = enabled;
    if (!offer || !link.key || !enabled) return;
    this.#key = link.key;
    this.#composer.ready = true;
    this.#composer.speaks = offer.provider !== null;
    this.#talk.address = this.#api.soundAddress(link.key);
    this.#captions.offered = offer.captions;
    byId("captions-file").hidden = true;
    this.#level.start(() => link.soundStats());
  }

  /** @param {string} utterance */
  #started(utterance) {
    this.#utterances.started(utterance);
    this.#captions.start(utterance);
  }

  /** @param {string} utterance */
  #interrupted(utterance) {
    this.#utterances.ended(utterance);
    this.#captions.drop(utterance);
  }

  /**
   * @param {string|null} utterance
   * @param {{kind: string, description: string}} error
   */
  #failed(utterance, { kind, description }) {
    this.#utterances.failed(utterance);
    this.#tell(new Problem(kind, description));
  }

  /** @param {import("./cues.js").Cue} cue */
  #caption(cue) {
    this.#captions.add(cue);
    byId("captions-file").hidden = false;
  }

  /** @param {string} text */
  async #say(text) {
    const said = await this.#ask((key) => this.#api.say(key, text));
    if (!said) this.#composer.giveBack(text);
  }

  /** @param {File} file */
  async #sayFile(file) {
    await this.#ask((key) => this.#api.sayFile(key, file));
  }

  /**
   * Asks for something to be said.
   * @param {(key: import("./api.js").StreamKey) => Promise<{utterance: string}>} ask
   * @returns {Promise<boolean>} Whether it was granted.
   */
  async #ask(ask) {
    const granted = this.#try((key) => this.#utterances.asked(ask(key)));
    this.#show();
    return granted.finally(() => this.#show());
  }

  async #saveCaptions() {
    await this.#try(async (key) => {
      // Through the API, not as a link's address: it may want the access token.
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await this.#api.captions(key));
      link.download = "captions.vtt";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  /**
   * Asks the server for something; a refusal is told and changes nothing.
   * @param {(key: import("./api.js").StreamKey) => Promise<unknown>} ask
   * @returns {Promise<boolean>} Whether it was granted.
   */
  async #try(ask) {
    const key = this.#key;
    if (!key) return false;
    try {
      await ask(key);
      this.#tell(null);
      return true;
    } catch (error) {
      if (this.#key === key) this.#tell(Problem.from(error));
      return false;
    }
  }

  #show() {
    const { state, waiting } = this.#utterances;
    this.#status.dataset.state = state;
    this.#status.textContent = t(`speech.${state}${waiting ? ".queued" : ""}`, { count: waiting });
    this.#composer.busy = state !== "idle";
  }

  /** @param {Problem|null} problem */
  #tell(problem) {
    this.#problem = problem;
    this.#error.hidden = problem === null;
    const said = problem && words(problem, "speech");
    this.#error.dataset.kind = problem?.kind ?? "";
    byId("speech-error-title").textContent = said?.title ?? "";
    byId("speech-error-advice").textContent = said ? `${said.advice} ${said.detail}`.trim() : "";
    // On phones the dock lies over the page's lower end.
    if (problem) this.#error.scrollIntoView({ block: "nearest" });
  }
}
