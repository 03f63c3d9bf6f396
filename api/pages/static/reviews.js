// The list of what awaits review, live.

import { followReviews } from "./live.js";
import { refresh, showTimes } from "./refresh.js";
import { tell } from "./screens.js";
import { describe } from "./texts.js";

const trouble = document.getElementById("trouble");
const onTrouble = (error) => tell(trouble, error ? describe(error) : "", "warning");
const shown = () =>
  [...document.querySelectorAll("[data-request-id]")].map((one) => one.dataset.requestId);

showTimes();
followReviews(
  (reviews) => {
    const wanted = reviews.map((one) => one.request_id);
    if (wanted.join() !== shown().join()) {
      refresh("reviews");
    }
  },
  { onTrouble, onSignedOut: () => location.reload() },
);
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    location.reload();
  }
});
