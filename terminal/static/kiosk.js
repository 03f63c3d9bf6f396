// Keeps this screen in step with the kiosk's program: fetches it anew when it changed, presses its
// buttons without leaving it, counts down, and types what the keys on the screen say.

const POLL_MS = 3000;
const LOST_AFTER = 2;

const main = () => document.getElementById("screen");
const lost = document.getElementById("lost");
const announcement = document.getElementById("announcement");

let fetching = false;
let again = false;
let failures = 0;
let deadline = null;
let number = "";

// ---- the newest screen

function take(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("screen");
  if (!fresh) {
    return;
  }
  const old = main();
  if (old.dataset.version === fresh.dataset.version) {
    return;
  }
  number = fresh.dataset.screen === "start" ? "" : (old.querySelector("#administrator")?.value ?? number);
  const same = old.dataset.screen === fresh.dataset.screen;
  const kept = same ? keep(old) : null;
  old.replaceWith(fresh);
  if (kept) {
    restore(fresh, kept);
  } else {
    arrive();
  }
  count();
}

function keep(old) {
  const refused = (node) => node.querySelector("#problem") !== null;
  return {
    fields: [...old.querySelectorAll("input")].map((one) => [one.id || one.value, one.value, one.checked]),
    open: [...old.querySelectorAll("details[open]")].map((one) => one.id),
    focus: old.contains(document.activeElement) ? path(document.activeElement) : null,
    refused: refused(old),
  };
}

function path(element) {
  if (element.id) {
    return `#${element.id}`;
  }
  const key = element.dataset.key ? `[data-key="${CSS.escape(element.dataset.key)}"]` : null;
  return key ?? (element.tagName === "SUMMARY" ? "summary" : null);
}

function restore(fresh, kept) {
  const refusedNow = fresh.querySelector("#problem") !== null && !kept.refused;
  for (const [name, value, checked] of kept.fields) {
    const field = [...fresh.querySelectorAll("input")].find((one) => (one.id || one.value) === name);
    if (field && !(refusedNow && field.id === "code")) {
      field.value = value;
      field.checked = checked;
    }
  }
  for (const id of kept.open) {
    document.getElementById(id)?.setAttribute("open", "");
  }
  board();
  if (refusedNow) {
    fresh.querySelector("#code")?.focus();
  } else if (kept.focus) {
    fresh.querySelector(kept.focus)?.focus({ preventScroll: true });
  }
}

function arrive() {
  const title = main().querySelector("h1");
  announcement.textContent = title ? title.textContent.trim() : "";
  const first = main().querySelector("#administrator");
  const wrong = main().querySelector("[data-wrong]")?.dataset.wrong;
  if (first) {
    // Mistyped, or the program was away: the number stays, the code never does.
    first.value = number;
  }
  const next = wrong === "code" && number ? document.getElementById("code") : first;
  (next ?? main()).focus({ preventScroll: true });
  window.scrollTo(0, 0);
  board();
}

async function ask(url, options) {
  const answer = await fetch(url, { cache: "no-store", ...options });
  if (!answer.ok) {
    throw new Error(`HTTP ${answer.status}`);
  }
  return answer.text();
}

// What changes while a screen is on its way may not be in it: then it is fetched once more.
async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    do {
      again = false;
      take(await ask("/"));
      found();
    } while (again);
  } catch {
    missed();
  } finally {
    fetching = false;
  }
}

function found() {
  failures = 0;
  lost.hidden = true;
}

function missed() {
  failures += 1;
  lost.hidden = failures < LOST_AFTER;
}

// ---- news: by server-sent events, else by asking now and then

let events = null;

function listen() {
  events?.close();
  events = new EventSource("/updates");
  events.onmessage = (event) => {
    found();
    if (JSON.parse(event.data) !== main().dataset.version) {
      refresh();
    }
  };
}

// A stream may stay open while a call fails: what was missed is asked for again.
setInterval(() => {
  if (!events || (failures === 0 && events.readyState === EventSource.OPEN)) {
    return;
  }
  refresh();
  if (events.readyState === EventSource.CLOSED) {
    listen();
  }
}, POLL_MS);

// ---- buttons

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.matches(".languages")) {
    return;
  }
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button:not([type=button])");
  if (button.disabled) {
    return;
  }
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  const body = new URLSearchParams(new FormData(form));
  try {
    take(await ask(form.action, { method: "POST", body }));
    found();
  } catch {
    missed();
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
    refresh();
  }
});

// ---- the keys on the screen

let field = null;

function board() {
  const form = document.querySelector("form[data-board]");
  field = form?.contains(document.activeElement) && document.activeElement.dataset.keys
    ? document.activeElement
    : (form?.querySelector("#administrator") ?? null);
  if (form && field) {
    form.dataset.board = field.dataset.keys;
  }
}

function type(text) {
  if (field.maxLength < 0 || field.value.length < field.maxLength) {
    field.value += text;
  }
}

document.addEventListener("focusin", (event) => {
  if (event.target.dataset?.keys) {
    board();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.id === "administrator") {
    event.preventDefault();
    document.getElementById("code").focus();
  }
});

function capitals(small) {
  for (const one of document.querySelectorAll(".letters [data-key]")) {
    one.textContent = small ? one.dataset.key.toLowerCase() : one.dataset.key;
  }
}

const acts = {
  clear: () => {
    field.value = "";
  },
  back: () => {
    field.value = field.value.slice(0, -1);
  },
  next: () => document.getElementById("code").focus(),
  case: (key) => {
    const small = key.getAttribute("aria-pressed") !== "true";
    key.setAttribute("aria-pressed", String(small));
    capitals(small);
  },
};

document.addEventListener("click", (event) => {
  const key = event.target.closest?.("[data-key], [data-act]");
  if (!key || !field) {
    return;
  }
  if (key.dataset.act) {
    acts[key.dataset.act](key);
  } else {
    type(key.textContent);
  }
});

// A press on a key leaves the caret where it is.
document.addEventListener("pointerdown", (event) => {
  if (event.target.closest?.("[data-key], [data-act]")) {
    event.preventDefault();
  }
});

// ---- the countdown

function count() {
  const shown = document.querySelector("[data-seconds]");
  deadline = shown ? performance.now() + 1000 * Number(shown.dataset.seconds) : null;
}

setInterval(() => {
  const shown = document.querySelector("[data-seconds]");
  if (deadline === null || !shown) {
    return;
  }
  const left = Math.ceil((deadline - performance.now()) / 1000);
  shown.querySelector("[data-left]").textContent = Math.max(0, left);
  shown.querySelector("progress").value = Math.max(0, left);
  if (left <= -5 && left % 5 === 0) {
    main().dataset.version = "";
    refresh();
  }
}, 1000);

count();
board();
document.getElementById("administrator")?.focus();
listen();
