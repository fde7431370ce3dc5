/** Exponential back-off with jitter, so that many pages don't return to a server at once. */

const FIRST_MS = 400;
const LONGEST_MS = 4000;

/**
 * @param {number} failures Failed attempts in a row, from 1.
 * @param {() => number} [random] A source of numbers in [0, 1).
 * @returns {number} Milliseconds to wait before the next attempt.
 */
export function backoffMs(failures, random = Math.random) {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return ceiling * (0.5 + 0.5 * random());
}

/**
 * Wait that can be cut short.
 * @param {number} ms
 * @param {AbortSignal[]} signals Any of them ends the wait at once.
 * @returns {Promise<void>}
 */
export function pause(ms, signals) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) {
      if (signal.aborted) done();
      else signal.addEventListener("abort", done);
    }
  });
}
