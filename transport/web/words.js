/** Problems in words. */

import { known, t } from "./i18n.js";

/** Kinds of the server that mean the same to somebody in front of the page. */
const SAME_AS = /** @type {Record<string, string>} */ ({
  AvatarError: "AvatarFailed",
  CompileFailed: "AvatarFailed",
  NotAVideo: "AvatarFailed",
  PackError: "AvatarFailed",
  AlreadyAnswered: "Conflict",
  TooManyPipelines: "TooManyStreams",
  TooManyCameras: "TooManyStreams",
  PublisherNotFound: "SourceEnded",
  NotSound: "SoundError",
  SoundEmpty: "SoundError",
  SoundDamaged: "SoundError",
  BrokenUpload: "SoundError",
  UploadTooLarge: "SoundTooLong",
  SpeechBroken: "SpeechFailed",
  NoSuchFace: "FaceTooSmall",
  FaceNotUsable: "FaceTooSmall",
});

const BY_STATUS = /** @type {Record<number, string>} */ ({
  401: "Unauthorized",
  403: "Forbidden",
  409: "Conflict",
});

/**
 * @param {import("./problem.js").Problem} problem
 * @param {string} [other] Stands for kinds that there are no words for.
 * @returns {{title: string, advice: string, detail: string}} What happened, what to do about it,
 *   and the server's own words, which are English.
 */
export function words(problem, other = "unknown") {
  const clip = problem.kind.startsWith("Clip") ? "AvatarFailed" : "";
  const own = [problem.kind, SAME_AS[problem.kind], clip, BY_STATUS[problem.status]];
  const kind = own.find((candidate) => candidate && known(`error.${candidate}`)) ?? other;
  const { description } = problem;
  return {
    title: t(`error.${kind}`),
    advice: t(`error.${kind}.do`),
    detail: description ? t("error.server", { description }) : "",
  };
}
