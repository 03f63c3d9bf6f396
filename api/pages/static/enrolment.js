// The enrolment page: a one-time link makes a passkey, and the passkey signs its own entry.
//
// `state` keeps the link, the new passkey's public half and the signed entry until it is answered:
// a reload goes on where it was, and the same entry sent twice is one entry.

import { insist, Problem } from "./calls.js";
import { needsOneDevice, newPasskey } from "./newpasskey.js";
import { pageState, takeFragment } from "./pagestate.js";
import { busy, fill, showStep, tell, tellFailure } from "./screens.js";
import { signedAct } from "./signedact.js";
import { rememberStaffNo } from "./signin.js";
import { checkSupport, forgetCredential, sign } from "./statements.js";
import { describe, locale, text } from "./texts.js";

const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const SHOWN_DIGITS = 4;

const { state, save, reset } = pageState("keyfill.enrolment");
const notice = document.getElementById("enrol-notice");
const button = document.getElementById("enrol");
const trouble = document.getElementById("trouble");
const onTrouble = (error) => tell(trouble, error ? describe(error) : "", "warning");
const entry = signedAct({ state, save, name: "pending", notice, send });

async function start() {
  const token = takeFragment();
  if (token && token !== state.token) {
    reset({ token });
  }
  if (state.done) {
    showDone();
  } else if (!TOKEN.test(state.token ?? "")) {
    close(text("no-link"));
  } else if (state.pending) {
    await send();
  } else {
    await show();
  }
}

async function show() {
  try {
    const body = { token: state.token };
    state.draft = await insist("POST", "/v1/enrolments/draft", body, { onTrouble });
    save();
    checkSupport();
  } catch (error) {
    close(describe(error));
    return;
  }
  fill(document, shown(state.draft));
  document.getElementById("one-device").hidden = !needsOneDevice(state.draft);
  showStep("enrol", { focus: false });
  showActs();
}

/** One press makes the passkey, the next one signs: some browsers allow one prompt a press. */
async function go() {
  if (state.passkey) {
    await entry.perform(signEntry);
    return;
  }
  tell(notice, "");
  try {
    state.passkey = await newPasskey(state.draft, state.token);
    save();
    showActs();
  } catch (error) {
    tellFailure(notice, error);
  }
}

async function signEntry() {
  const { server_time: _, approval_keys: __, ...draft } = state.draft;
  const statement = await sign(
    "credential-entry",
    { ...draft, public_key: state.passkey.public_key, credential_id: state.passkey.credential_id },
    { credentialId: state.passkey.credential_id },
  );
  return { token: state.token, statement };
}

async function send() {
  try {
    const answer = await insist("POST", "/v1/enrolments", state.pending, { onTrouble });
    rememberStaffNo(state.draft.staff_no);
    forgetCredential(state.draft.staff_no);
    reset({ token: state.token, done: { ...state.draft, digest: answer.digest } });
    showDone();
  } catch (error) {
    entry.forget();
    if (error instanceof Problem && error.code === "passkey-not-device-bound") {
      // The link is good for another passkey.
      delete state.passkey;
      save();
    } else if (error instanceof Problem && [403, 404, 410].includes(error.status)) {
      close(describe(error));
      return;
    }
    await show();
    tell(notice, error);
  }
}

function close(why) {
  showStep("closed");
  tell(document.getElementById("closed-notice"), why, "error");
}

function showDone() {
  fill(document, shown(state.done));
  showStep("done");
}

function showActs() {
  const at = state.passkey ? "sign" : "create";
  let passed = true;
  for (const act of document.querySelectorAll("#acts > li")) {
    passed &&= act.dataset.act !== at;
    act.className = passed ? "done" : act.dataset.act === at ? "now" : "";
  }
  button.textContent = text(state.passkey ? "sign-now" : "make");
}

function shown(draft) {
  const roles = draft.roles.map((role) => text(role));
  return {
    name: draft.name,
    staff_no: draft.staff_no,
    number: masked(draft.number),
    roles: roles.length > 1 ? text("and", { a: roles[0], b: roles[1] }) : (roles[0] ?? "–"),
    valid_until: new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(
      draft.valid_until * 1000,
    ),
    digest: grouped(draft.digest ?? ""),
  };
}

function masked(number) {
  return `${number.slice(0, 3)}${"•".repeat(number.length - 5)}${number.slice(-2)}`;
}

function grouped(digits) {
  return (digits.match(new RegExp(`.{1,${SHOWN_DIGITS}}`, "g")) ?? []).join(" ");
}

button.addEventListener("click", () => busy(button, go));
addEventListener("hashchange", start);

start();
