// What a page does with its elements. Everything is shown as text, never as markup.

import { describe } from "./texts.js";

/** Tell something in a notice: a text with its kind, or an error; "" hides the notice. */
export function tell(notice, what, kind = "") {
  const error = what instanceof Error;
  const said = error ? describe(what) : what;
  notice.className = `notice ${error ? "error" : kind}`.trim();
  notice.textContent = said;
  notice.hidden = said === "";
}

/** Tell a person of an error that ended what they wanted; one that is ours is reported as well. */
export function tellFailure(notice, error) {
  tell(notice, error);
  if (typeof error.code !== "string") {
    reportError(error);
  }
}

/** Do something while its button says that it is being done; a second press does nothing. */
export async function busy(button, act) {
  if (button.getAttribute("aria-busy") === "true") {
    return;
  }
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  try {
    await act();
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}

/** Do something each time a form is sent off, while its button says that it is being done. */
export function serveForm(form, act) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(form.querySelector("button[type=submit]"), act);
  });
}

/** Whether a button is in use; `aria-disabled` keeps it in reach of the keyboard. */
export function isOff(button) {
  return button.disabled || button.getAttribute("aria-disabled") === "true";
}

/** Show exactly one of a page's steps, and put the reader at its heading. */
export function showStep(name, { focus = true } = {}) {
  let shown = null;
  for (const step of document.querySelectorAll("[data-step]")) {
    step.hidden = step.dataset.step !== name;
    if (!step.hidden) {
      shown = step;
    }
  }
  if (focus && shown) {
    const heading = shown.querySelector("h1, h2") ?? shown;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  return shown;
}

/** Put a text into every element `[data-fill=name]` below an element. */
export function fill(within, values) {
  for (const [name, value] of Object.entries(values)) {
    for (const place of within.querySelectorAll(`[data-fill="${name}"]`)) {
      place.textContent = value;
    }
  }
}
