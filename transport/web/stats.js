/** Numbers for people out of `RTCPeerConnection.getStats()`. */

/** Rates are taken over this long, so that single pictures don't make them flicker. */
const WINDOW_MS = 2000;

/**
 * @typedef {object} LiveStats
 * @property {number|null} fps Pictures decoded per second.
 * @property {number|null} kbps Received kilobits per second.
 * @property {number|null} rttMs Round trip in milliseconds.
 * @property {number|null} jitterMs Variation of the packets' arrival, in milliseconds.
 * @property {number|null} freezes Since the connection began; null where the browser doesn't count.
 * @property {number|null} lost Packets lost since the connection began.
 * @property {number} decoded Pictures decoded since the connection began.
 * @property {number} bufferMs What a picture waits in the jitter buffer, on average.
 * @property {number} width
 * @property {number} height
 * @property {string} codec e.g. `H264`
 */

/** @typedef {{at: number, decoded: number, bytes: number}} Sample */

export class StatsMeter {
  /** @type {Sample[]} */
  #samples = [];

  /**
   * @param {RTCStatsReport} report
   * @returns {LiveStats|null} Null while there is no incoming video.
   */
  read(report) {
    const video = [...report.values()].find(
      (entry) => entry.type === "inbound-rtp" && entry.kind === "video",
    );
    if (!video) return null;
    const decoded = video.framesDecoded ?? 0;
    const { fps, kbps } = this.#rates({
      at: video.timestamp,
      decoded,
      bytes: video.bytesReceived ?? 0,
    });
    const emitted = video.jitterBufferEmittedCount || 0;
    return {
      fps,
      kbps,
      rttMs: toMs(activePair(report)?.currentRoundTripTime),
      jitterMs: toMs(video.jitter),
      freezes: video.freezeCount ?? null,
      lost: video.packetsLost === undefined ? null : Math.max(0, video.packetsLost),
      decoded,
      bufferMs: emitted ? (1000 * video.jitterBufferDelay) / emitted : 0,
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      codec: (report.get(video.codecId)?.mimeType ?? "").replace(/^video\//i, ""),
    };
  }

  /**
   * @param {Sample} now
   * @returns {{fps: number|null, kbps: number|null}}
   */
  #rates(now) {
    while (this.#samples.length > 1 && now.at - this.#samples[1].at >= WINDOW_MS) {
      this.#samples.shift();
    }
    const before = this.#samples[0];
    this.#samples.push(now);
    const seconds = before ? (now.at - before.at) / 1000 : 0;
    if (seconds <= 0) return { fps: null, kbps: null };
    return {
      fps: (now.decoded - before.decoded) / seconds,
      kbps: ((now.bytes - before.bytes) * 8) / 1000 / seconds,
    };
  }
}

/**
 * The candidate pair in use; Firefox marks it as selected, the others through the transport.
 * @param {RTCStatsReport} report
 */
function activePair(report) {
  const entries = [...report.values()];
  const transport = entries.find((entry) => entry.selectedCandidatePairId);
  if (transport) return report.get(transport.selectedCandidatePairId);
  return entries.find(
    (entry) => entry.type === "candidate-pair" && (entry.selected || entry.nominated),
  );
}

/**
 * @param {number|undefined} seconds
 * @returns {number|null}
 */
function toMs(seconds) {
  return seconds === undefined ? null : seconds * 1000;
}
