/** A track on its way to the server (WHIP). Like a link it never comes back. No DOM in here. */

import { deferred } from "./deferred.js";
import { Problem } from "./problem.js";

const MAX_BITRATE = 4_000_000;

/**
 * @typedef {object} UplinkStats
 * @property {number|null} fps Pictures that the camera gives per second.
 * @property {number|null} rttMs
 * @property {number} encodeMs Per picture.
 */

export class Uplink {
  #api;
  #pc = new RTCPeerConnection();
  #sender;
  #closed = false;
  #location = "";
  #ended = deferred();

  /**
   * @param {import("./api.js").Api} api
   * @param {MediaStreamTrack} track
   */
  constructor(api, track) {
    this.#api = api;
    const options = { direction: /** @type {const} */ ("sendonly") };
    const sendEncodings = [{ maxBitrate: MAX_BITRATE }];
    this.#sender = this.#pc.addTransceiver(track, { ...options, sendEncodings }).sender;
    this.#pc.addEventListener("connectionstatechange", () => {
      if (this.#pc.connectionState === "failed") this.#ended.resolve(new Problem("IceFailed"));
    });
  }

  /** The Problem that ended it. @returns {Promise<Problem>} */
  get ended() {
    return this.#ended.promise;
  }

  /**
   * @returns {Promise<string>} The source's name for `Api.createStream`.
   * @throws {Problem}
   */
  async open() {
    const offer = await this.#pc.createOffer();
    const published = await this.#api.publish(offer.sdp ?? "");
    this.#location = published.location;
    if (this.#closed) {
      this.#forget();
      return published.source;
    }
    // Only now are the server's TURN relays known; gathering starts with the local description.
    if (published.iceServers.length) {
      this.#pc.setConfiguration({ iceServers: published.iceServers });
    }
    try {
      await this.#pc.setLocalDescription(offer);
      await this.#pc.setRemoteDescription({ type: "answer", sdp: published.answer });
    } catch (error) {
      throw new Problem("BadSdp", Problem.from(error).message);
    }
    return published.source;
  }

  /**
   * Sends another camera from now on.
   * @param {MediaStreamTrack} track
   */
  async replaceTrack(track) {
    await this.#sender.replaceTrack(track);
  }

  /** @returns {Promise<UplinkStats>} */
  async stats() {
    const entries = [...(await this.#pc.getStats()).values()];
    const video = (/** @type {string} */ type) => entries.find((entry) => entry.type === type);
    const sent = video("outbound-rtp");
    const rtt = entries.find((e) => e.type === "candidate-pair" && e.nominated)?.currentRoundTripTime;
    const { framesEncoded = 0, totalEncodeTime = 0 } = sent ?? {};
    return {
      fps: video("media-source")?.framesPerSecond ?? null,
      rttMs: rtt === undefined ? null : rtt * 1000,
      encodeMs: framesEncoded ? (1000 * totalEncodeTime) / framesEncoded : 0,
    };
  }

  close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget().finally(() => this.#pc.close());
  }

  /** Deletes the camera, if that can be done; a server that hears of the closing first has none. */
  async #forget() {
    // A camera that is not deleted (server away, page closing) is cleaned up by the server itself.
    if (this.#location) await this.#api.unpublish(this.#location).catch(() => undefined);
  }
}
