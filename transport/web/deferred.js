/** A promise that is settled from outside. */

export function deferred() {
  /** @type {(value?: any) => void} */
  let resolve = () => undefined;
  /** @type {(reason: import("./problem.js").Problem) => void} */
  let reject = () => undefined;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined); // It may be dropped before anybody waits for it.
  return { promise, resolve, reject };
}
