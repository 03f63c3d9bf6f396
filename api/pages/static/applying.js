// The application form: the terminal's number, the SMS code, and one signature.

import { insist, Problem } from "./calls.js";
import { countDown, serverNow } from "./clocks.js";
import { readShared, writeShared } from "./pagestate.js";
import { busy, isOff, serveForm, showStep, tell } from "./screens.js";
import { signedAct } from "./signedact.js";
import { signedIn } from "./signin.js";
import { sign } from "./statements.js";
import { clock, describe, duration, text } from "./texts.js";

const DRAFT = "keyfill.draft";
const TERMINAL_NO = /^[A-Z0-9][A-Z0-9-]{0,31}$/;
const SMS_CODE = /^[0-9]{6}$/;
/** Fifteen minutes to apply, four hours to decide, one to confirm: with room to spare. */
const VALID_SECONDS = 6 * 3600;
/** The server takes a new statement for five minutes after it was signed. */
const FRESH_SECONDS = 300;

/** Serve the form. `state` is the page's; see application.js. */
export function applying({ state, save, onTrouble, onApplied, onProblem }) {
  const form = document.getElementById("apply");
  const notice = document.getElementById("apply-notice");
  const sendCode = document.getElementById("send-code");
  const codeSent = document.getElementById("code-sent");
  const terminalNo = form.elements.namedItem("terminal_no");
  const smsCode = form.elements.namedItem("sms_code");
  const stops = [];
  const act = signedAct({ state, save, name: "pending", notice, send });

  function show() {
    showStep("apply");
    takeUpDraft();
    showAttempts(state.document.attempts_left);
    stops.splice(0).forEach((stop) => stop());
    stops.push(countDown(state.document.qr_expires_at, showQrLeft));
    showCode();
  }

  function showQrLeft(left) {
    const place = document.getElementById("qr-left");
    place.textContent = left > 0 ? text("qr-left", { left: duration(left) }) : "";
    if (left <= 0) {
      tell(notice, text("qr-over"), "warning");
    }
  }

  function showAttempts(left) {
    document.getElementById("attempts").textContent = text("attempts", { n: left });
  }

  function showCode() {
    const code = state.code;
    sendCode.textContent = text(code ? "send-another" : "send-code");
    if (!code) {
      return;
    }
    codeSent.textContent = text("code-sent", {
      n: code.n,
      to: code.sent_to,
      until: clock(code.expires_at),
    });
    const resend = document.getElementById("resend");
    sendCode.setAttribute("aria-disabled", "true");
    stops.push(
      countDown(
        code.resend_after,
        (left) => {
          resend.textContent = left > 0 ? text("resend-in", { left: duration(left) }) : "";
        },
        () => sendCode.removeAttribute("aria-disabled"),
      ),
    );
  }

  async function askForCode() {
    tell(notice, "");
    try {
      const body = { qr_text: state.qr_text };
      state.code = await insist("POST", "/v1/applications/sms-codes", body, { onTrouble });
      save();
      keepDraft();
      mark(smsCode, null);
      smsCode.focus();
    } catch (error) {
      if (error instanceof Problem && [401, 409].includes(error.status)) {
        onProblem(error);
      } else {
        tell(notice, error.status === 410 ? text("qr-over") : describe(error), "error");
      }
    }
  }

  function checked() {
    const typed = terminalNo.value.trim().toUpperCase();
    const code = smsCode.value.replace(/\s/g, "");
    const wrong = [
      mark(terminalNo, typed ? !TERMINAL_NO.test(typed) && "terminal-no-malformed" : "terminal-no-missing"),
      mark(smsCode, !SMS_CODE.test(code) && "sms-code-malformed"),
    ].filter(Boolean);
    wrong[0]?.focus();
    return wrong.length ? null : { terminal_no: typed, sms_code: code };
  }

  async function submit() {
    const typed = checked();
    if (!typed) {
      return;
    }
    if (state.document.qr_expires_at <= serverNow() + 1) {
      tell(notice, text("qr-over"), "error");
      return;
    }
    await act.perform(() => signApplication(typed));
  }

  async function signApplication(typed) {
    const named = state.document;
    const iat = Math.floor(serverNow());
    const statement = await sign("application", {
      iat,
      request_id: named.request_id,
      terminal_no: typed.terminal_no,
      administrator: named.administrator,
      epp_fingerprint: named.epp_fingerprint,
      registry_digest: named.registry_digest,
      qr_digest: named.qr_digest,
      expires_at: Math.min(named.expires_at_max, iat + VALID_SECONDS),
    });
    const body = { statement, qr_text: state.qr_text, sms_code: typed.sms_code };
    return { body, iat, request_id: named.request_id };
  }

  /** Send what was signed until it is answered; the same statement is one application. */
  async function send() {
    const pending = state.pending;
    try {
      const answer = await insist("POST", "/v1/applications", pending.body, { onTrouble });
      act.forget();
      state.request_id = answer.request_id;
      writeShared(DRAFT, null);
      onApplied();
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401 && error.code === "not-authenticated") {
        // Nobody is signed in any more: it is sent again once somebody is.
        onProblem(error);
        return;
      }
      act.forget();
      refused(error, pending);
    }
  }

  function refused(error, pending) {
    const left = error.members.attempts_left;
    if (error.code === "wrong-stage" || left === 0) {
      state.request_id = pending.request_id;
      onApplied();
    } else if (error.code === "application-refused" && left !== undefined && state.document) {
      state.document.attempts_left = left;
      save();
      show();
      smsCode.value = "";
      tell(notice, text("refused", { n: left }), "error");
      notice.scrollIntoView({ block: "nearest" });
    } else if (state.document) {
      const late = error.code === "stale" && serverNow() - pending.iat > FRESH_SECONDS - 10;
      show();
      tell(notice, late ? text("took-too-long") : describe(error), "error");
    } else {
      onProblem(error);
    }
  }

  // A person who has to scan again, in a new tab, need not type again for the same request.
  function keepDraft() {
    writeShared(DRAFT, {
      staff_no: signedIn(),
      request_id: state.request_id,
      terminal_no: terminalNo.value,
      code: state.code ?? null,
    });
  }

  function takeUpDraft() {
    const draft = readShared(DRAFT);
    if (draft.request_id !== state.request_id || draft.staff_no !== signedIn()) {
      return;
    }
    terminalNo.value ||= draft.terminal_no;
    state.code ??= draft.code ?? undefined;
    save();
  }

  serveForm(form, submit);
  sendCode.addEventListener("click", async () => {
    if (!isOff(sendCode)) {
      await busy(sendCode, askForCode);
      showCode();
    }
  });
  terminalNo.addEventListener("change", keepDraft);
  for (const field of [terminalNo, smsCode]) {
    field.addEventListener("input", () => mark(field, null));
  }

  return {
    show,
    resume: async () => {
      showStep("wait", { focus: false });
      tell(document.getElementById("trouble"), text("checking"));
      await send();
      tell(document.getElementById("trouble"), "");
    },
    terminalNo: () => terminalNo.value.trim().toUpperCase(),
  };
}

/** Mark a field as wrong, with its text; a falsy `problem` clears it. Gives the field if wrong. */
function mark(field, problem) {
  const place = document.getElementById(`${field.id}-error`);
  field.removeAttribute("aria-invalid");
  place.hidden = !problem;
  if (!problem) {
    place.textContent = "";
    return null;
  }
  field.setAttribute("aria-invalid", "true");
  place.textContent = text(problem);
  return field;
}
