// The server's clock, as far as this page has heard of it: a phone's own may be minutes off.

let ahead = 0;

/** Remember what the server's clock said just now (Unix seconds). */
export function noteServerTime(seconds) {
  if (Number.isFinite(seconds)) {
    ahead = seconds - Date.now() / 1000;
  }
}

/** Unix time in seconds, by the server's clock. */
export function serverNow() {
  return Date.now() / 1000 + ahead;
}

/** Show the seconds that are left until `until` (Unix seconds), every second; `done` at the end. */
export function countDown(until, show, done = () => {}) {
  const step = () => {
    const left = until - serverNow();
    if (left <= 0) {
      clearInterval(timer);
      show(0);
      done();
    } else {
      show(left);
    }
  };
  const timer = setInterval(step, 1000);
  step();
  return () => clearInterval(timer);
}
