// Reviewing one application. What the passkey signs is read from the page, as it is shown there.
//
// `state.pending` is what was signed and not yet answered: after a reload, a lost network or a new
// sign-in the very same statement is sent again.

import { insist, Problem } from "./calls.js";
import { serverNow } from "./clocks.js";
import { follow } from "./live.js";
import { pageState } from "./pagestate.js";
import { refresh, showTimes } from "./refresh.js";
import { busy, tell } from "./screens.js";
import { sign } from "./statements.js";
import { describe, text } from "./texts.js";

const review = () => document.getElementById("review");
const requestId = review().dataset.requestId;
const { state, save } = pageState(`keyfill.review.${requestId}`);
const trouble = document.getElementById("trouble");
const onTrouble = (error) => tell(trouble, error ? describe(error) : "", "warning");
const toSignIn = () => location.assign(`/s?next=${encodeURIComponent(location.pathname)}`);

let deciding = false;

/** What the page shows under this name, without the spaces that only group it. */
function shown(name) {
  const places = review().querySelectorAll(`[data-sign="${name}"]`);
  if (places.length !== 1) {
    throw new Error(`${name} is shown ${places.length} times`);
  }
  return places[0].textContent.replace(/\s/g, "");
}

function decision(decided, reasonCode, reason) {
  return {
    request_id: shown("request_id"),
    terminal_no: shown("terminal_no"),
    administrator: shown("administrator"),
    epp_fingerprint: shown("epp_fingerprint"),
    registry_digest: shown("registry_digest"),
    application_digest: shown("application_digest"),
    decision: decided,
    reason_code: reasonCode,
    reason,
    expires_at: Math.floor(serverNow()) + Number(review().dataset.validSeconds),
  };
}

async function decide(fields) {
  deciding = true;
  try {
    told("");
    const statement = await sign("decision", fields);
    state.pending = { body: { statement }, decision: fields.decision };
    save();
    await send();
  } catch (error) {
    told(error);
  } finally {
    deciding = false;
  }
}

/** Send what was signed, until there is an answer. */
async function send() {
  told(text("recording"));
  for (const control of review().querySelectorAll("button, select, textarea")) {
    control.disabled = true;
  }
  let problem = null;
  try {
    await insist("POST", `/v1/reviews/${requestId}/decision`, state.pending.body, { onTrouble });
  } catch (error) {
    if (!(error instanceof Problem)) {
      throw error;
    }
    if (error.status === 401 && (await signedOut())) {
      toSignIn();
      return;
    }
    problem = error;
  }
  const { decision: decided } = state.pending;
  delete state.pending;
  save();
  await renewed();
  if (problem?.code === "wrong-stage") {
    tell(document.getElementById("outcome"), text("decided-elsewhere"), "warning");
  } else if (problem) {
    const late = problem.code === "stale";
    const refused = problem.status === 401 && !late;
    told(late ? text("took-too-long") : refused ? text("refused") : describe(problem), "error");
  } else {
    tell(document.getElementById("outcome"), text(`signed.${decided}`), "success");
  }
}

/** Whether it is the session that is over, and not the statement that was refused. */
async function signedOut() {
  try {
    await insist("GET", "/v1/reviews", undefined, { onTrouble });
    return false;
  } catch (error) {
    return error.status === 401;
  }
}

function told(what, kind = "") {
  const notice = document.getElementById("decision-notice");
  if (notice) {
    tell(notice, what, kind);
  }
}

async function renewed() {
  while (!(await refresh("review"))) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  const heading = review().querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.id === "approve") {
    busy(button, () => decide(decision("approve", null, null)));
  } else if (button?.id === "reject") {
    const form = document.getElementById("reject-form");
    form.hidden = !form.hidden;
    button.setAttribute("aria-expanded", String(!form.hidden));
    if (!form.hidden) {
      form.elements.namedItem("reason_code").focus();
    }
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "reject-form") {
    return;
  }
  event.preventDefault();
  const code = form.elements.namedItem("reason_code");
  if (!code.value) {
    code.setAttribute("aria-invalid", "true");
    told(text("reason-missing"), "error");
    code.focus();
    return;
  }
  code.removeAttribute("aria-invalid");
  const words = form.elements.namedItem("reason").value.replace(/\s+/g, " ").trim();
  busy(form.querySelector("button[type=submit]"), () =>
    decide(decision("reject", code.value, words || null)),
  );
});

addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});

showTimes();
follow(
  requestId,
  async ({ stage }) => {
    // What is being read or typed stays, as long as it is still the thing to do.
    if (stage === review().dataset.stage || deciding || state.pending) {
      return;
    }
    const waited = review().dataset.stage === "AWAITING_REVIEW";
    await refresh("review");
    if (waited) {
      tell(document.getElementById("outcome"), text("moved-on"), "warning");
    }
  },
  { after: Number(review().dataset.version), onTrouble, onSignedOut: toSignIn },
);
if (state.pending) {
  send().catch((error) => told(error));
}
