// The application page: which step the administrator is at, after any reload, return or new scan.
//
// `state` holds the scanned text, the request once it is known, and what was signed and not yet
// answered: the very same statement is then sent again, so that nothing is lost and nothing done
// twice.

import { applying } from "./applying.js";
import { insist, Problem } from "./calls.js";
import { cancelling } from "./cancelling.js";
import { pageState, takeFragment } from "./pagestate.js";
import { progress } from "./progress.js";
import { showStep, tell } from "./screens.js";
import { serveSignIn, signedIn } from "./signin.js";
import { describe, text } from "./texts.js";

const QR_PATH = "/a#";
const { state, save, reset } = pageState("keyfill.application");
const trouble = document.getElementById("trouble");
const onTrouble = (error) => tell(trouble, error ? describe(error) : "", "warning");

const follower = progress({ state, save, onSignedOut: askToSignIn, onTrouble });
const form = applying({ state, save, onTrouble, onApplied: watch, onProblem: handle });
const cancel = cancelling({
  state,
  save,
  onTrouble,
  onCancelled: watch,
  onSignedOut: askToSignIn,
});

function takeScan() {
  const token = takeFragment();
  if (!token) {
    return;
  }
  const qrText = location.origin + QR_PATH + token;
  if (qrText === state.qr_text) {
    return;
  }
  // What was signed before the new scan is answered first.
  reset({ qr_text: qrText, pending: state.pending, cancelling: state.cancelling });
}

async function start() {
  follower.stop();
  cancel.hide();
  if (!signedIn()) {
    if (state.qr_text || state.request_id || state.pending) {
      askToSignIn();
    } else {
      askToScan();
    }
    return;
  }
  if (state.cancelling && (await cancel.resume())) {
    return;
  }
  if (state.pending) {
    await form.resume();
    return;
  }
  if (state.request_id && state.applied) {
    watch();
    return;
  }
  if (!state.qr_text) {
    askToScan();
    return;
  }
  await prepare();
}

async function prepare() {
  try {
    const body = { qr_text: state.qr_text };
    const document = await insist("POST", "/v1/applications/document", body, { onTrouble });
    state.document = document;
    state.request_id = document.request_id;
    save();
    form.show();
    cancel.show({ request_id: document.request_id, terminalNo: form.terminalNo });
  } catch (error) {
    handle(error);
  }
}

/** A call was refused: lead to where the administrator can go on. */
function handle(error) {
  onTrouble(null);
  const known = error instanceof Problem ? error : {};
  if (known.status === 401) {
    askToSignIn();
  } else if (known.code === "wrong-stage" && (known.members.request_id ?? state.request_id)) {
    state.request_id = known.members.request_id ?? state.request_id;
    watch();
  } else if (known.code === "application-refused") {
    askToScan(text("not-yours"));
  } else {
    askToScan(describe(error));
  }
}

function watch() {
  state.applied = true;
  save();
  follower.start(state.request_id, (status) => {
    cancel.offer(status);
  });
}

function askToScan(why = "") {
  cancel.hide();
  showStep("scan", { focus: why !== "" });
  tell(document.getElementById("scan-notice"), why, "error");
}

function askToSignIn() {
  follower.stop();
  cancel.hide();
  showStep("sign-in", { focus: false });
}

// The page comes anew with the person's name in it, and goes on where it was.
serveSignIn(document.getElementById("sign-in"), () => location.reload());

addEventListener("hashchange", () => {
  takeScan();
  start();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});

takeScan();
start();
