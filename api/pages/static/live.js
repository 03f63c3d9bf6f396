// Following what happens: server-sent events, and calls where those cannot be had.
//
// A stream that fails is not left to the browser: one call finds out why, and brings what came
// meanwhile; then a stream is opened again. Where three in a row fail (a proxy that holds them
// back, too many tabs), calls alone do it for a while. A page that nobody sees follows nothing: a
// browser has six connections to a site, and a phone that slept has dead ones.

import { insist, Problem, waited } from "./calls.js";

const WAIT_SECONDS = 20;
const POLL_PAUSE_SECONDS = 4;
const STREAM_FAILURES = 3;
const STREAM_REST_SECONDS = 60;
const OPENING_MS = 10_000;
const LASTING_MS = 3000;

const nothing = () => {};

/** Whether a loading request may still move. */
export function isOpen(stage) {
  return stage.startsWith("AWAITING_");
}

/**
 * Tell `onUpdate(status)` where a loading request stands, now and at every change, never an older
 * version and none twice; with `after`, only what is newer than that version. `onTrouble(error)` is
 * told of a lost network, `onTrouble(null)` when it is back; `onSignedOut()` when the session has
 * ended. Gives `{ close() }`.
 */
export function follow(requestId, onUpdate, { after = -1, ...told } = {}) {
  const path = `/v1/loading-requests/${requestId}`;
  let version = after;
  const since = (more) => (version < 0 ? "" : `?after=${version}${more}`);
  return live(told, {
    stream: () => `${path}/updates${since("")}`,
    poll: (wait) => `${path}${since(`&wait=${wait}`)}`,
    pause: 0,
    take: (status) => {
      if (status.version > version) {
        version = status.version;
        onUpdate(status);
      }
      return isOpen(status.stage);
    },
  });
}

/** Tell `onUpdate(reviews)` what awaits this administrator, now and whenever it differs. */
export function followReviews(onUpdate, told = {}) {
  let last = null;
  return live(told, {
    stream: () => "/v1/reviews/updates",
    poll: () => "/v1/reviews",
    pause: POLL_PAUSE_SECONDS,
    take: ({ reviews }) => {
      const now = JSON.stringify(reviews);
      if (now !== last) {
        last = now;
        onUpdate(reviews);
      }
      return true;
    },
  });
}

/** Tell an auditor's page `onEvents(events)` of every event after the one with the id `after`. */
export function followEvents(requestId, after, onEvents, told = {}) {
  const path = `/v1/loading-requests/${requestId}/events`;
  let last = after;
  return live(told, {
    stream: () => `${path}/updates?after=${last}`,
    poll: () => path,
    pause: POLL_PAUSE_SECONDS,
    take: (found) => {
      const events = (found.events ?? [found]).filter((one) => one.id > last);
      if (events.length > 0) {
        last = events.at(-1).id;
        onEvents(events);
      }
      return true;
    },
  });
}

function live({ onTrouble = nothing, onSignedOut = nothing }, source) {
  const stop = new AbortController();

  async function run() {
    let failures = 0;
    for (;;) {
      await seen(stop.signal);
      const how = await streamed(source, stop.signal);
      if (how === "final") {
        return;
      }
      if (how === "signed-out") {
        onSignedOut();
        return;
      }
      failures = how === "failed" ? failures + 1 : how === "lost" ? 0 : failures;
      const resting = failures >= STREAM_FAILURES;
      const until = Date.now() + (resting ? STREAM_REST_SECONDS * 1000 : 0);
      do {
        await seen(stop.signal);
        const path = source.poll(resting ? WAIT_SECONDS : 0);
        const found = await insist("GET", path, undefined, { signal: stop.signal, onTrouble });
        if (!source.take(found)) {
          return;
        }
        await waited(resting ? source.pause : failures, stop.signal);
      } while (Date.now() < until);
    }
  }

  run().catch((error) => {
    if (stop.signal.aborted) {
      return;
    }
    if (error instanceof Problem && error.status === 401) {
      onSignedOut();
    } else {
      onTrouble(error);
    }
  });
  return { close: () => stop.abort() };
}

/**
 * One stream, until it ends, and how: "final" if no more is to come, "signed-out", "unseen",
 * "lost", or "failed" if it did not even last for a while.
 */
function streamed(source, signal) {
  return new Promise((resolve, reject) => {
    const stream = new EventSource(source.stream());
    let opened = Infinity;
    const end = (how) => {
      stream.close();
      removeEventListener("offline", lost);
      document.removeEventListener("visibilitychange", unseen);
      clearTimeout(slow);
      signal.removeEventListener("abort", stopped);
      resolve(how);
    };
    const lost = () => end(Date.now() - opened > LASTING_MS ? "lost" : "failed");
    const unseen = () => end("unseen");
    const slow = setTimeout(() => opened === Infinity && lost(), OPENING_MS);
    const stopped = () => {
      reject(signal.reason);
      end();
    };
    stream.onopen = () => {
      opened = Date.now();
    };
    stream.onmessage = (event) => {
      if (!source.take(JSON.parse(event.data))) {
        end("final");
      }
    };
    stream.addEventListener("end", (event) => end(JSON.parse(event.data).reason));
    stream.onerror = lost;
    addEventListener("offline", lost);
    document.addEventListener("visibilitychange", unseen);
    signal.addEventListener("abort", stopped);
  });
}

/** Wait until somebody sees the page. */
function seen(signal) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (document.visibilityState === "visible" || signal.aborted) {
        document.removeEventListener("visibilitychange", look);
        signal.removeEventListener("abort", look);
        if (signal.aborted) {
          reject(signal.reason);
        } else {
          resolve();
        }
      }
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}
