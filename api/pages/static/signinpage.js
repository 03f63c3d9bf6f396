// The sign-in page: on to where the person wanted to go.

import { serveSignIn } from "./signin.js";

serveSignIn(document.getElementById("sign-in"), () => {
  location.replace(document.getElementById("sign-in-card").dataset.next);
});
