/** The routes of the server that the page uses. */

/** A server that prepares speech gives up by itself, and then says why. */
const SCRIPT_TIMEOUT_MS = 30_000;
const UPLOAD_TIMEOUT_MS = 180_000;

/**
 * @typedef {object} Avatar
 * @property {string} id
 * @property {string} name
 * @property {"ready"|"waiting"|"compiling"|"failed"} status
 * @property {number} progress 0 to 1
 * @property {{kind: string, description: string}|null} error
 * @property {string[]} states
 * @property {string[]} actions
 * @property {number} fps
 * @property {[number, number]} size width, height in pixels
 * @property {string[]} codecs
 * @property {string|null} poster
 */

/**
 * @typedef {object} CreatedStream
 * @property {string} id
 * @property {string} session_id
 * @property {RTCSessionDescriptionInit} offer
 * @property {RTCIceServer[]} ice_servers
 * @property {string} state
 * @property {SpeechOffer} [speech] None for a stream that has no sound.
 */

/**
 * What a stream can say.
 * @typedef {object} SpeechOffer
 * @property {boolean} enabled
 * @property {string|null} provider Who turns text into speech; null for nobody.
 * @property {boolean} captions Whether speech without a text is transcribed.
 */

/** @typedef {{id: string, session_id: string}} StreamKey */

/**
 * What a new stream shows: an avatar, or a source with what is done to its pictures.
 * @typedef {{video_id: string} | {source: string, processors: string[], face_swap?: SwapChange}}
 *   StreamWish
 */

/**
 * What is to be different in a processed stream.
 * @typedef {{processors?: string[], face_swap?: SwapChange}} StreamChange
 */

/** @typedef {{face: string, index: number}} StreamFace A picture's id, and which face of it. */

/** @typedef {Partial<SwapSettings> & {faces?: StreamFace[]}} SwapChange */

/**
 * How faces are put in.
 * @typedef {object} SwapSettings
 * @property {number} opacity 0 to 1
 * @property {number} grow Factor for the mask's outline.
 * @property {number} feather Width of the mask's soft edge, in sides of the face's crop.
 * @property {boolean|null} keep_mouth Null leaves it to the model.
 * @property {"largest"|"left_to_right"|"all"} selection
 * @property {string} model
 * @property {boolean} mark Whether a mark says that AI was at work.
 * @property {"top_left"|"top_right"|"bottom_left"|"bottom_right"} mark_corner
 */

/** @typedef {[number, number, number, number]} Box left, top, right, bottom in pixels */

/**
 * A picture of faces that the server keeps.
 * @typedef {object} KeptFaces
 * @property {string} id
 * @property {{box: Box, score: number}[]} faces From left to right.
 * @property {number} chosen Which of them is taken where nobody says which.
 */

/**
 * @typedef {object} StreamInfo
 * @property {PipelineFigures|null} pipeline Null for an avatar that is only played.
 * @property {{settings: SwapSettings}|null} [face_swap] None where no faces are swapped.
 */

/**
 * @typedef {object} PipelineFigures
 * @property {number} process_fps
 * @property {Record<string, {p50_ms: number, p95_ms: number}>} latency By stage, and `end_to_end`.
 * @property {Record<string, number>} dropped Frames left out, by the place where.
 * @property {string[]} bypassed Processors left out because they kept failing.
 */

/**
 * A camera that is being sent in.
 * @typedef {object} Published
 * @property {string} location Where it is ended; a secret.
 * @property {string} source Its name for `createStream`.
 * @property {string} answer SDP.
 * @property {RTCIceServer[]} iceServers
 */

export class Api {
  #http;

  /** @param {import("./http.js").Http} http */
  constructor(http) {
    this.#http = http;
  }

  /** @returns {Promise<Avatar[]>} */
  avatars() {
    return this.#http.json("/avatars");
  }

  /**
   * @param {string} path The avatar's `poster`.
   * @returns {Promise<Blob>}
   */
  async poster(path) {
    return (await this.#http.call(path)).blob();
  }

  /**
   * @param {StreamWish} wish
   * @returns {Promise<CreatedStream>}
   */
  createStream(wish) {
    return this.#http.json("/streams", { method: "POST", body: wish });
  }

  /**
   * @param {StreamKey} stream
   * @returns {Promise<StreamInfo>}
   */
  streamInfo({ id, session_id }) {
    const query = new URLSearchParams({ session_id });
    return this.#http.json(`${streamPath(id)}?${query}`);
  }

  /**
   * Changes a processed stream while it runs.
   * @param {StreamKey} stream
   * @param {StreamChange} change
   */
  changeStream(stream, change) {
    return this.#onStream(stream, "", change, { method: "PATCH" });
  }

  /**
   * Sends a picture whose faces are to be put in.
   * @param {File} picture
   * @returns {Promise<KeptFaces>}
   */
  addFace(picture) {
    const body = new FormData();
    body.set("picture", picture, picture.name);
    return this.#http.json("/faces", { method: "POST", body, timeoutMs: UPLOAD_TIMEOUT_MS });
  }

  /** @param {string} id A picture's. */
  removeFace(id) {
    return this.#http.call(`/faces/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /**
   * Sends a camera in (WHIP, RFC 9725).
   * @param {string} offer SDP.
   * @returns {Promise<Published>}
   */
  async publish(offer) {
    const response = await this.#http.call("/whip", { method: "POST", body: offer });
    const location = response.headers.get("Location") ?? "";
    return {
      location,
      source: `webrtc:${decodeURIComponent(location.split("/").at(-2) ?? "")}`,
      answer: await response.text(),
      iceServers: iceServers(response.headers.get("Link") ?? ""),
    };
  }

  /**
   * Ends a camera; the request outlives the page.
   * @param {string} location
   */
  unpublish(location) {
    return this.#http.call(location, { method: "DELETE", keepalive: true });
  }

  /**
   * @param {StreamKey} stream
   * @param {RTCSessionDescriptionInit} answer
   */
  answer(stream, answer) {
    return this.#onStream(stream, "/sdp", { answer });
  }

  /**
   * @param {StreamKey} stream
   * @param {RTCIceCandidate|null} candidate Null when there are no more.
   */
  candidate(stream, candidate) {
    const { candidate: line = null, sdpMid = null, sdpMLineIndex = null } = candidate ?? {};
    return this.#onStream(stream, "/ice", { candidate: line, sdpMid, sdpMLineIndex });
  }

  /**
   * @param {StreamKey} stream
   * @param {string} state A state's or an action's name.
   */
  setState(stream, state) {
    return this.#onStream(stream, "/state", { state });
  }

  /**
   * Has a text said, after what is being said already.
   * @param {StreamKey} stream
   * @param {string} input
   */
  say(stream, input) {
    const script = { type: "text", input };
    return this.#onStream(stream, "", { script }, { timeoutMs: SCRIPT_TIMEOUT_MS });
  }

  /**
   * Has a sound file played, after what is being said already.
   * @param {StreamKey} stream
   * @param {File} file
   */
  sayFile({ id, session_id }, file) {
    const body = new FormData();
    body.set("session_id", session_id);
    body.set("audio", file, file.name);
    const options = { method: "POST", body, timeoutMs: UPLOAD_TIMEOUT_MS };
    return this.#http.json(streamPath(id), options);
  }

  /**
   * Ends what is being said and what waits to be.
   * @param {StreamKey} stream
   */
  interrupt(stream) {
    return this.#onStream(stream, "/interrupt", {});
  }

  /**
   * @param {StreamKey} stream
   * @returns {Promise<Blob>} WebVTT of everything that was said.
   */
  async captions({ id, session_id }) {
    const query = new URLSearchParams({ session_id });
    return (await this.#http.call(`${streamPath(id)}/captions.vtt?${query}`)).blob();
  }

  /**
   * @param {StreamKey} stream
   * @returns {string} Of the WebSocket that takes sound.
   */
  soundAddress({ id, session_id }) {
    const address = new URL(`${streamPath(id)}/audio`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = String(new URLSearchParams({ session_id }));
    return address.href;
  }

  /**
   * Ends a stream; the request outlives the page.
   * @param {StreamKey} stream
   */
  deleteStream(stream) {
    return this.#onStream(stream, "", {}, { method: "DELETE", keepalive: true });
  }

  /**
   * @param {StreamKey} stream
   * @param {string} suffix
   * @param {object} body
   * @param {import("./http.js").CallOptions} [options]
   */
  #onStream(stream, suffix, body, options = {}) {
    const whole = { ...body, session_id: stream.session_id };
    const path = `${streamPath(stream.id)}${suffix}`;
    return this.#http.json(path, { method: "POST", ...options, body: whole });
  }
}

/** @param {string} id */
function streamPath(id) {
  return `/streams/${encodeURIComponent(id)}`;
}

/**
 * @param {string} links `Link` header with `rel="ice-server"` (RFC 9725, section 4.6).
 * @returns {RTCIceServer[]}
 */
function iceServers(links) {
  const found = links.matchAll(/<([^>]+)>([^<]*)/g);
  return [...found]
    .filter(([, , rest]) => /rel="ice-server"/.test(rest))
    .map(([, urls, rest]) => ({
      urls,
      username: /username="([^"]*)"/.exec(rest)?.[1],
      credential: /credential="([^"]*)"/.exec(rest)?.[1],
    }));
}
