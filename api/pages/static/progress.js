// Where a loading request stands, live, in words.

import { follow } from "./live.js";
import { fill, showStep } from "./screens.js";
import { signedIn } from "./signin.js";
import { clock, hasText, text } from "./texts.js";

const ORDER = [
  "AWAITING_APPLICATION",
  "AWAITING_REVIEW",
  "AWAITING_CONFIRMATION",
  "AWAITING_RECEIPT",
];
const KINDS = { LOADED: "success", AWAITING_CONFIRMATION: "success", UNCONFIRMED: "warning" };
const BAD = ["REJECTED", "EXPIRED", "CANCELLED", "FAILED"];
/** What an end says of how far the request got. */
const AT_LEAST = { REJECTED: 1, UNCONFIRMED: 3 };
const REFERENCE_CHARACTERS = 8;

/**
 * Serve the step `progress`. `state` is the page's: how far the request got is remembered there,
 * since an ended one does not say. `onSignedOut` is called when the session has ended.
 */
export function progress({ state, save, onSignedOut, onTrouble }) {
  let following = null;

  function stop() {
    following?.close();
    following = null;
  }

  function start(requestId, onStatus = () => {}) {
    stop();
    let first = true;
    following = follow(
      requestId,
      (status) => {
        show(status);
        onStatus(status);
        if (first) {
          first = false;
          showStep("progress");
        }
      },
      { onTrouble, onSignedOut },
    );
  }

  function show(status) {
    const { stage, reason } = status;
    const badge = document.getElementById("stage");
    badge.className = `stage ${BAD.includes(stage) ? "error" : (KINDS[stage] ?? "")}`.trim();
    badge.textContent = text(`stage.${stage}`);
    document.getElementById("stage-title").textContent = text(`title.${stage}`);
    const because = `reason.${reason}`;
    document.getElementById("stage-advice").textContent = text(
      BAD.includes(stage) && hasText(because) ? because : `advice.${stage}`,
    );
    document.getElementById("approved").hidden = stage !== "AWAITING_CONFIRMATION";
    document.getElementById("loaded").hidden = !status.kcv;
    document.getElementById("fact-terminal").hidden = !status.terminal_no;
    document.getElementById("fact-until").hidden = !status.expires_at;
    document.getElementById("fact-reason").hidden = stage !== "REJECTED" || !status.decision_reason;
    fill(document, {
      staff_no: signedIn(),
      kcv: status.kcv ?? "",
      terminal_no: status.terminal_no ?? "",
      reference: status.request_id.slice(0, REFERENCE_CHARACTERS),
      decision_reason: status.decision_reason ?? "",
      until: status.expires_at ? clock(status.expires_at) : "",
    });
    showTimeline(stage);
  }

  function showTimeline(stage) {
    const at = ORDER.indexOf(stage);
    const reached = Math.max(at, AT_LEAST[stage] ?? 0, state.reached ?? 0);
    state.reached = reached;
    save();
    document.getElementById("timeline-card").hidden = BAD.includes(stage) && reached === 0;
    for (const item of document.querySelectorAll("#timeline > li")) {
      const n = ORDER.indexOf(item.dataset.at);
      const done = stage === "LOADED" || (at >= 0 ? n < at : n < reached);
      const failed = at < 0 && stage !== "LOADED" && n === reached;
      item.className = done ? "done" : failed ? "failed" : n === at ? "now" : "";
      if (n === at) {
        item.setAttribute("aria-current", "step");
      } else {
        item.removeAttribute("aria-current");
      }
    }
  }

  return { start, stop };
}
