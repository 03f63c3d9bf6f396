// Signing in with a passkey. The staff number is typed once and then remembered.

import { insist, Problem } from "./calls.js";
import { forgetCredential, meta, PasskeyError, rememberCredential, sign } from "./statements.js";
import { busy, tell, tellFailure } from "./screens.js";
import { describe, text } from "./texts.js";

const STAFF_NO = "keyfill.staff-no";

/** Who is signed in, as the server wrote it into the page; "" for nobody. */
export function signedIn() {
  return meta("keyfill-staff-no");
}

export function rememberedStaffNo() {
  return localStorage.getItem(STAFF_NO) ?? "";
}

export function rememberStaffNo(staffNo) {
  localStorage.setItem(STAFF_NO, staffNo);
}

/**
 * Open a session: the cookie comes with the answer. A lost network is waited for, and `onTrouble`
 * told of it as by `insist`. A login is good for one session: where its answer was lost, the
 * passkey is asked for another. Throws Problem or PasskeyError.
 */
export async function signIn(staffNo, onTrouble) {
  const { challenge } = await insist("POST", "/v1/challenges", undefined, { onTrouble });
  const statement = await sign("login", { administrator: staffNo, challenge }, { staffNo });
  try {
    await insist("POST", "/v1/sessions", { statement }, { onTrouble });
  } catch (error) {
    if (error instanceof Problem && error.code === "replayed") {
      await signIn(staffNo, onTrouble);
      return;
    }
    // The passkey that was remembered may have been replaced: offer all of them next time.
    if (error instanceof Problem && error.status === 401) {
      forgetCredential(staffNo);
    }
    throw error;
  }
  rememberStaffNo(staffNo);
  rememberCredential(staffNo, statement.credential_id);
}

/** Serve the sign-in form of `signin.html`; `done` is called once somebody is signed in. */
export function serveSignIn(form, done) {
  const field = form.elements.namedItem("staff_no");
  const notice = form.querySelector("[data-notice]");
  const onTrouble = (error) => tell(notice, error ? describe(error) : "", "warning");
  field.value ||= rememberedStaffNo();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const staffNo = field.value.trim();
    if (!staffNo) {
      field.setAttribute("aria-invalid", "true");
      tell(notice, text("staff-no-missing"), "error");
      field.focus();
      return;
    }
    field.removeAttribute("aria-invalid");
    await busy(form.querySelector("button[type=submit]"), async () => {
      try {
        tell(notice, "");
        await signIn(staffNo, onTrouble);
        await done();
      } catch (error) {
        if (error instanceof PasskeyError && error.code === "passkey-failed") {
          forgetCredential(staffNo);
        }
        tellFailure(notice, error);
      }
    });
  });
}
