/** Sizes, durations and times in words. */

import { language, number, t } from "./i18n.js";

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** @param {number} bytes */
export function size(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${number(value, power > 0 && value < 10 ? 1 : 0)} ${UNITS[power]}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (seconds < 10) return t("time.s", { s: number(seconds, 1) });
  if (whole < 60) return t("time.s", { s: whole });
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return t("time.min", { m: minutes, s: whole % 60 });
  return t("time.h", { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** The time of a moment of today, else the day. @param {number} time Seconds since 1970. */
export function moment(time) {
  const date = new Date(time * 1000);
  const today = date.toDateString() === new Date().toDateString();
  return today
    ? date.toLocaleTimeString(language.code, { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString(language.code, { day: "numeric", month: "short" });
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  return t("percent", { value: Math.round(share * 100) });
}
