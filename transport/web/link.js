/**
 * One stream of the server, from `POST /streams` to its end. A link never comes back: whoever
 * wants pictures again opens another one. No DOM in here.
 */

import { deferred } from "./deferred.js";
import { Problem } from "./problem.js";
import { StatsMeter } from "./stats.js";

const OPEN_WITHIN_MS = 8000;
const POLL_MS = 500;
/** Without a picture for this long the connection counts as dropped. */
const STALL_MS = 2500;
/** A longer gap between two polls means that the page itself was asleep. */
const ASLEEP_MS = 3 * POLL_MS;

/** @typedef {import("./api.js").StreamKey} StreamKey */

/**
 * Emits `stream` (MediaStream), `stats` (LiveStats) and `message` ({subject, payload} from the
 * server), each as the `detail` of a CustomEvent.
 */
export class Link extends EventTarget {
  #api;
  #wish;
  #lowDelay;
  #pc = new RTCPeerConnection();
  #meter = new StatsMeter();
  /** @type {StreamKey|null} */
  #key = null;
  /** @type {MediaStream|null} */
  #stream = null;
  /** @type {RTCRtpReceiver|null} */
  #sound = null;
  #closed = false;
  #visible = true;
  #decoded = 0;
  #lastPicture = 0;
  #lastPoll = 0;
  /** @type {ReturnType<typeof setInterval>|undefined} */
  #poll;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #deadline;

  /**
   * What the stream can say, once it is created.
   * @type {import("./api.js").SpeechOffer|null}
   */
  speech = null;

  /** Settles once: with the first picture, or rejects with the Problem that prevented it. */
  #first = deferred();
  /** Settles once: with the Problem that ended the link after its first picture. */
  #ended = deferred();

  /**
   * @param {import("./api.js").Api} api
   * @param {import("./api.js").StreamWish} wish
   * @param {{lowDelay?: boolean}} [options] Whether pictures are shown as soon as they arrive, at
   *   the price of evenness.
   */
  constructor(api, wish, { lowDelay = false } = {}) {
    super();
    this.#api = api;
    this.#wish = wish;
    this.#lowDelay = lowDelay;
  }

  /** Names the stream to the server, once there is one. @returns {StreamKey|null} */
  get key() {
    return this.#key;
  }

  /** The Problem that ended the link. @returns {Promise<Problem>} */
  get ended() {
    return this.#ended.promise;
  }

  /** @param {boolean} visible Hidden pages are not asked for pictures. */
  set visible(visible) {
    this.#visible = visible;
    this.#lastPicture = performance.now();
  }

  /**
   * Creates the stream and waits for its first picture.
   * @throws {Problem} When there is none.
   */
  async open() {
    this.#watch();
    this.#negotiate().catch((error) => this.#fail(Problem.from(error)));
    await this.#first.promise;
  }

  /** A picture was seen on the screen. */
  noteFrame() {
    if (this.#pc.connectionState !== "connected") return;
    this.#lastPicture = performance.now();
    this.#first.resolve(undefined);
    clearTimeout(this.#deadline);
  }

  /**
   * Asks for a state or an action; the answer comes as a `stream/state` message.
   * @param {string} state
   */
  async setState(state) {
    if (this.#key) await this.#api.setState(this.#key, state);
  }

  /** @returns {Promise<RTCStatsReport|null>} Of the sound alone; null while there is none. */
  async soundStats() {
    return this.#closed || !this.#sound ? null : this.#sound.getStats();
  }

  /** Ends the stream here and, as well as that can be done, on the server. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#deadline);
    if (this.#key) this.#forget(this.#key).finally(() => this.#pc.close());
    else this.#pc.close();
  }

  async #negotiate() {
    const created = await this.#api.createStream(this.#wish);
    if (this.#closed) {
      this.#forget(created);
      return;
    }
    this.#key = { id: created.id, session_id: created.session_id };
    this.speech = created.speech ?? null;
    this.#deadline = setTimeout(() => this.#fail(this.#whyNotOpen()), OPEN_WITHIN_MS);
    const pc = this.#pc;
    if (created.ice_servers?.length) pc.setConfiguration({ iceServers: created.ice_servers });
    try {
      await pc.setRemoteDescription(created.offer);
      await pc.setLocalDescription(await pc.createAnswer());
    } catch (error) {
      if (this.#closed) return;
      throw new Problem("BadSdp", Problem.from(error).message);
    }
    if (this.#closed) return;
    const answer = /** @type {RTCSessionDescription} */ (pc.localDescription);
    if (/^m=video 0 /m.test(answer.sdp)) throw new Problem("NoSharedCodec");
    await this.#api.answer(this.#key, { type: answer.type, sdp: answer.sdp });
  }

  #watch() {
    const pc = this.#pc;
    pc.addEventListener("track", ({ track, streams, receiver }) => {
      if (this.#lowDelay && "jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      if (track.kind === "audio") this.#sound = receiver;
      // Picture and sound come one by one, and stay in step only within one stream.
      const stream = streams[0] ?? this.#stream ?? new MediaStream();
      stream.addTrack(track);
      if (stream !== this.#stream) this.#emit("stream", stream);
      this.#stream = stream;
    });
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (!this.#key || this.#closed) return;
      // The server can do without: it learns the browser's address from its first packets.
      this.#api.candidate(this.#key, candidate).catch(() => undefined);
    });
    pc.addEventListener("connectionstatechange", () => {
      if (pc.connectionState === "connected") this.#lastPicture = performance.now();
      if (pc.connectionState === "failed") this.#fail(new Problem("IceFailed"));
    });
    pc.addEventListener("datachannel", ({ channel }) => {
      channel.addEventListener("message", ({ data }) => this.#message(String(data)));
      channel.addEventListener("close", () => this.#fail(new Problem("ChannelClosed")));
    });
    this.#poll = setInterval(() => this.#measure(), POLL_MS);
  }

  async #measure() {
    if (this.#pc.connectionState !== "connected") return;
    const stats = this.#meter.read(await this.#pc.getStats());
    if (!stats || this.#closed) return;
    const now = performance.now();
    if (stats.decoded > this.#decoded) this.noteFrame();
    const asleep = now - this.#lastPoll > ASLEEP_MS;
    if (asleep || !this.#visible) this.#lastPicture = now;
    this.#decoded = stats.decoded;
    this.#lastPoll = now;
    this.#emit("stats", stats);
    if (this.#decoded && now - this.#lastPicture > STALL_MS) this.#fail(new Problem("NoPictures"));
  }

  /** @param {string} text `subject:payload`, the payload being JSON. */
  #message(text) {
    const colon = text.indexOf(":");
    const subject = colon < 0 ? text : text.slice(0, colon);
    /** @type {Record<string, any>} */
    let payload = {};
    try {
      payload = JSON.parse(text.slice(colon + 1));
    } catch {
      console.warn("Unreadable event from the server:", text);
    }
    this.#emit("message", { subject, payload });
    if (subject === "stream/closing") this.#fail(closing(payload.reason));
  }

  #whyNotOpen() {
    return new Problem(this.#pc.connectionState === "connected" ? "NoPictures" : "IceFailed");
  }

  /** @param {Problem} problem */
  #fail(problem) {
    if (this.#closed) return;
    this.#first.reject(problem);
    this.#ended.resolve(problem);
  }

  /**
   * Deletes the stream, if that can be done, before the connection is closed: a server that hears
   * of the closing first has no such stream any more when the request arrives.
   * @param {StreamKey} key
   */
  async #forget(key) {
    // A stream that is not deleted (server away, page closing) is cleaned up by the server itself.
    await this.#api.deleteStream(key).catch(() => undefined);
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #emit(name, detail) {
    if (!this.#closed) this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** @param {string} reason The server's reason for ending the stream. */
function closing(reason) {
  if (reason === "timeout") return new Problem("SessionTimeout");
  if (reason === "deleted") return new Problem("SessionDeleted");
  if (reason === "source_ended") return new Problem("SourceEnded");
  return new Problem("ServerShutdown");
}
