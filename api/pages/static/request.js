// One loading request, live while it is open: each event brings the page anew.

import { followEvents } from "./live.js";
import { refresh, showTimes } from "./refresh.js";
import { tell } from "./screens.js";
import { describe } from "./texts.js";

const shown = () => document.getElementById("request").dataset;
const trouble = document.getElementById("trouble");
const onTrouble = (error) => tell(trouble, error ? describe(error) : "", "warning");

let following = null;

async function renew() {
  // What was unfolded stays so: the statements keep their places.
  const open = [...document.querySelectorAll("details")].map((one) => one.open);
  if (await refresh("request")) {
    document.querySelectorAll("details").forEach((one, n) => {
      one.open = open[n] ?? false;
    });
  }
  if (shown().open !== "yes") {
    following.close();
  }
}

showTimes();
if (shown().open === "yes") {
  following = followEvents(shown().requestId, Number(shown().lastEvent), renew, {
    onTrouble,
    onSignedOut: () => location.reload(),
  });
}
