// The texts of the page, in its language; the server wrote them into two data blocks.

const texts = { ...read("common-texts"), ...read("texts") };
export const language = document.documentElement.lang;
/** The page's language as it is written where the reader lives: an English day has 24 hours too. */
export const locale =
  navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;

function read(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? "{}");
}

/** The text of this name, with `{name}` replaced by the value of that name. */
export function text(name, values = {}) {
  const found = texts[name] ?? texts.problem;
  return found.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

export function hasText(name) {
  return name in texts;
}

/** What to tell a person of an error that `calls.js` or `statements.js` threw. */
export function describe(error) {
  const name = typeof error?.code === "string" ? error.code : "problem";
  return text(name in texts ? name : "problem");
}

/** A time of day from Unix seconds, in the page's language; with the date if it is not today. */
export function clock(seconds) {
  const time = new Date(seconds * 1000);
  const today = time.toDateString() === new Date().toDateString();
  const form = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale, form).format(time);
}

/** Seconds as minutes and seconds: 1:05. */
export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
