// The search: times in the reader's own zone. Everything else works without a script.

import { showTimes } from "./refresh.js";

showTimes();
