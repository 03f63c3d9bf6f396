// Cancelling a loading request: a signed statement like any other.

import { insist, Problem } from "./calls.js";
import { serveForm, showStep, tell } from "./screens.js";
import { signedAct } from "./signedact.js";
import { sign } from "./statements.js";
import { describe } from "./texts.js";

const BEFORE_RELEASE = ["AWAITING_APPLICATION", "AWAITING_REVIEW", "AWAITING_CONFIRMATION"];

/** Serve the fold-out `#cancel`. `state` is the page's; what was signed is kept in it. */
export function cancelling({ state, save, onTrouble, onCancelled, onSignedOut }) {
  const fold = document.getElementById("cancel");
  const form = document.getElementById("cancel-form");
  const notice = document.getElementById("cancel-notice");
  const act = signedAct({ state, save, name: "cancelling", notice, send });
  let about = null;

  function show(what) {
    about = what;
    fold.hidden = false;
  }

  function hide() {
    fold.hidden = true;
    fold.open = false;
  }

  /** Offer it as long as it is of use. */
  function offer(status) {
    if (BEFORE_RELEASE.includes(status.stage)) {
      show({ request_id: status.request_id, terminalNo: () => status.terminal_no });
    } else {
      hide();
    }
  }

  async function signCancellation() {
    const words = form.elements.namedItem("reason").value.trim();
    const statement = await sign("cancellation", {
      request_id: about.request_id,
      terminal_no: about.terminalNo(),
      reason_code: form.elements.namedItem("reason_code").value,
      reason: words || null,
    });
    return { request_id: about.request_id, body: { statement } };
  }

  /** Send what was signed; gives whether this led somewhere. */
  async function send() {
    const { request_id: requestId, body } = state.cancelling;
    try {
      await insist("POST", `/v1/loading-requests/${requestId}/cancellation`, body, { onTrouble });
    } catch (error) {
      if (error instanceof Problem && error.status === 401 && error.code === "not-authenticated") {
        onSignedOut();
        return true;
      }
      act.forget();
      if (error.code !== "wrong-stage") {
        tell(notice, describe(error), "error");
        return false;
      }
    }
    act.forget();
    state.request_id = requestId;
    hide();
    onCancelled();
    return true;
  }

  serveForm(form, () => act.perform(signCancellation));

  return {
    show,
    hide,
    offer,
    resume: async () => {
      showStep("wait", { focus: false });
      return send();
    },
  };
}
