/** Calls to the server: JSON in and out, errors as Problems, the access token where one is set. */

import { Problem } from "./problem.js";

const TOKEN_KEY = "avatar-server.token";
const TIMEOUT_MS = 8000;

/**
 * @typedef {object} CallOptions
 * @property {string} [method]
 * @property {object|string|FormData} [body] A text is SDP, anything but FormData else is JSON.
 * @property {boolean} [keepalive] The request outlives the page.
 * @property {number} [timeoutMs]
 * @property {AbortSignal} [signal] Ends the call, in place of a time limit.
 */

export class Http {
  /** @type {Promise<boolean>|null} */
  #asking = null;

  /**
   * @param {(rejected: boolean) => Promise<string|null>} askToken Asks the user for the access
   *   token; `rejected` says that the one given before was wrong. Null when the user declines.
   */
  constructor(askToken) {
    this.askToken = askToken;
  }

  /** Whether calls carry a token, which the addresses in elements cannot. */
  get guarded() {
    return sessionStorage.getItem(TOKEN_KEY) !== null;
  }

  /**
   * @param {string} path
   * @param {CallOptions} [options]
   */
  async json(path, options) {
    return (await this.call(path, options)).json();
  }

  /**
   * @param {string} path
   * @param {CallOptions} [options]
   * @returns {Promise<Response>}
   */
  async call(path, options = {}) {
    for (;;) {
      const token = sessionStorage.getItem(TOKEN_KEY);
      const response = await send(path, token, options);
      if (response.ok) return response;
      const problem = await refusal(response);
      if (response.status !== 401 || options.keepalive || !(await this.#renewToken(token))) {
        throw problem;
      }
    }
  }

  /**
   * Asks once, however many calls were refused at the same time.
   * @param {string|null} refused
   * @returns {Promise<boolean>} Whether there is another token to try.
   */
  #renewToken(refused) {
    if (sessionStorage.getItem(TOKEN_KEY) !== refused) return Promise.resolve(true);
    this.#asking ??= this.askToken(refused !== null)
      .then((token) => {
        if (token) sessionStorage.setItem(TOKEN_KEY, token);
        return Boolean(token);
      })
      .finally(() => {
        this.#asking = null;
      });
    return this.#asking;
  }
}

/**
 * @param {string} path
 * @param {string|null} token
 * @param {CallOptions} options
 */
async function send(path, token, options) {
  const { method = "GET", body, keepalive = false, timeoutMs = TIMEOUT_MS, signal } = options;
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  const sdp = typeof body === "string";
  const form = body instanceof FormData; // The browser itself says what is in it.
  if (body && !form) headers["Content-Type"] = sdp ? "application/sdp" : "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    return await fetch(path, {
      method,
      headers,
      body: sdp || form ? body : body && JSON.stringify(body),
      keepalive,
      cache: "no-cache",
      signal: signal ?? AbortSignal.timeout(timeoutMs),
    });
  } catch (error) {
    const slow = error instanceof DOMException && error.name === "TimeoutError";
    throw new Problem(slow ? "ServerTimeout" : "ServerUnreachable");
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function refusal(response) {
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const more = {
    status: response.status,
    retryAfter: Number.isFinite(seconds) ? seconds : null,
  };
  const text = await response.text().catch(() => "");
  try {
    const { kind, description, problems } = JSON.parse(text);
    return new Problem(String(kind), String(description ?? ""), { ...more, problems });
  } catch {
    // A proxy in between answers in its own format.
    const gateway = response.status >= 502 && response.status <= 504;
    const kind = gateway ? "ServerUnreachable" : "UnexpectedAnswer";
    return new Problem(kind, `HTTP ${response.status} ${response.statusText}`.trim(), more);
  }
}
