/**
 * What can go wrong, as one class: errors of the API keep the server's `kind`, what the browser
 * notices by itself gets a kind of its own (`ServerUnreachable`, `IceFailed`, ...). The words for
 * each kind are in i18n; this file only knows what a kind means for trying again.
 */

/** Worth repeating without end: the server or the network will come back. */
const PASSING = new Set([
  "ServerUnreachable",
  "ServerTimeout",
  "AvatarCompiling",
  "TooManyStreams",
  "TooManyPipelines",
  "TooManyCameras",
  "SourceEnded",
  "ChannelClosed",
  "ServerShutdown",
  "StreamNotFound",
]);

/** No second try will change these. */
const FINAL = new Set([
  "NoWebRTC",
  "NoSharedCodec",
  "SessionTimeout",
  "SessionDeleted",
  "Unauthorized",
]);

/** Attempts in a row before a doubtful problem counts as final, if nothing ever worked. */
const DOUBTFUL_TRIES = 2;

export class Problem extends Error {
  /**
   * @param {string} kind Stable name, e.g. `AvatarNotFound`.
   * @param {string} [description] The server's own words, if it said any.
   * @param {{status?: number, retryAfter?: number|null, problems?: Record<string, string>}} [more]
   *   HTTP status; seconds to wait; what is wrong with each field that is.
   */
  constructor(kind, description = "", { status = 0, retryAfter = null, problems = {} } = {}) {
    super(description || kind);
    this.name = "Problem";
    this.kind = kind;
    this.description = description;
    this.status = status;
    this.retryAfter = retryAfter;
    this.problems = problems;
  }

  /**
   * Any thrown value as a Problem.
   * @param {unknown} error
   * @returns {Problem}
   */
  static from(error) {
    if (error instanceof Problem) return error;
    return new Problem("PageError", error instanceof Error ? error.message : String(error));
  }
}

/**
 * Whether trying again makes sense.
 * @param {Problem} problem
 * @param {number} failures Failed attempts in a row, this one included.
 * @param {boolean} worked Whether a connection to this avatar has worked before.
 * @returns {boolean}
 */
export function worthRetrying(problem, failures, worked) {
  if (FINAL.has(problem.kind)) return false;
  if (PASSING.has(problem.kind)) return true;
  const refused = problem.status >= 400 && problem.status < 500;
  if (refused && !worked) return false;
  if (worked && !refused) return true;
  return failures < DOUBTFUL_TRIES;
}
