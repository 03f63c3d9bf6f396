// The page anew, without leaving it: the server writes each page once, for a reload and for this.

import { countDown, noteServerTime } from "./clocks.js";
import { clock, duration, language } from "./texts.js";

const HOUR = 3600;
let counters = [];

/**
 * Fetch this page again, and put its elements with these ids in the place of those shown. Gives
 * whether that worked: without a network nothing changes.
 */
export async function refresh(...ids) {
  let response, markup;
  try {
    response = await fetch(location.href, {
      headers: { Accept: "text/html" },
      cache: "no-store",
      credentials: "same-origin",
    });
    markup = await response.text();
  } catch {
    return false;
  }
  if (response.redirected) {
    // The session has ended: the sign-in page leads back here.
    location.assign(response.url);
    return false;
  }
  if (!response.ok) {
    if (response.status < 500 && response.status !== 429) {
      location.reload();
    }
    return false;
  }
  const fresh = new DOMParser().parseFromString(markup, "text/html");
  for (const id of ids) {
    const [old, put] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && put) {
      old.replaceWith(document.adoptNode(put));
    }
  }
  document.title = fresh.title;
  showTimes();
  return true;
}

/** Show the reader's own time, and count down what ends. */
export function showTimes() {
  for (const stop of counters) {
    stop();
  }
  counters = [];
  noteServerTime(Number(document.querySelector("[data-server-time]")?.dataset.serverTime));
  for (const time of document.querySelectorAll("time[data-seconds]")) {
    const seconds = Number(time.dataset.seconds);
    time.textContent = "exact" in time.dataset ? exact(seconds) : clock(seconds);
  }
  for (const place of document.querySelectorAll("[data-until]")) {
    place.hidden = false;
    const show = (left) => {
      place.textContent = left < HOUR ? duration(left) : hours(left);
    };
    counters.push(countDown(Number(place.dataset.until), show));
  }
}

function exact(seconds) {
  const form = { dateStyle: "medium", timeStyle: "medium" };
  const locale = language === "en" ? "en-GB" : language;
  return new Intl.DateTimeFormat(locale, form).format(new Date(seconds * 1000));
}

function hours(seconds) {
  const whole = Math.ceil(seconds);
  const rest = duration(whole % HOUR).padStart(5, "0");
  return `${Math.floor(whole / HOUR)}:${rest}`;
}
