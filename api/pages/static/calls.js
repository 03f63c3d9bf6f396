// Calls of the HTTP interface. A problem document becomes a Problem, a lost network Offline.

import { noteServerTime } from "./clocks.js";

const TRY_SECONDS = 25;
const PAUSES = [0.5, 1, 2, 3, 5];

/** The API refused: `code` is stable, `status` is HTTP's, `members` the whole document. */
export class Problem extends Error {
  constructor(status, members, retryAfter) {
    super(members.code ?? "problem");
    this.status = status;
    this.code = members.code ?? "problem";
    this.members = members;
    this.retryAfter = retryAfter;
  }
}

/** No answer came: no network, or nothing behind it. Whether the call arrived is not known. */
export class Offline extends Error {
  constructor() {
    super("offline");
    this.code = "offline";
  }
}

/** One call, once. Gives the JSON document, or null. Throws Problem or Offline. */
export async function call(method, path, body, { signal } = {}) {
  return (await attempt(method, path, body, signal)).document;
}

/**
 * The same call again until there is an answer: after a lost network, while the server is busy, and
 * while the verdict is still to come (202 with a Location). It is safe for signed statements,
 * because the same statement is one act however often it is sent. `onTrouble(error)` is told when
 * it has to wait because of trouble, and `onTrouble(null)` when that is over.
 */
export async function insist(method, path, body, { signal, onTrouble = () => {} } = {}) {
  let troubled = false;
  for (let n = 0; ; n += 1) {
    let pause = PAUSES[Math.min(n, PAUSES.length - 1)];
    try {
      const { document, response } = await attempt(method, path, body, signal);
      if (troubled) {
        troubled = false;
        onTrouble(null);
      }
      if (response.status !== 202 || !response.headers.has("location")) {
        return document;
      }
    } catch (error) {
      if (!passing(error)) {
        throw error;
      }
      troubled = true;
      onTrouble(error);
      pause = Math.max(pause, error.retryAfter ?? 0);
    }
    await waited(pause, signal);
  }
}

/** Wait so many seconds, or until the network comes back if that is sooner. */
export function waited(seconds, signal) {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", stopped);
      resolve();
    };
    const stopped = () => {
      done();
      reject(signal.reason);
    };
    const timer = setTimeout(done, seconds * 1000);
    addEventListener("online", done);
    signal?.addEventListener("abort", stopped);
  });
}

function passing(error) {
  return error instanceof Offline || [429, 502, 503, 504].includes(error.status);
}

async function attempt(method, path, body, signal) {
  const stop = new AbortController();
  const stopped = () => stop.abort();
  const timer = setTimeout(stopped, TRY_SECONDS * 1000);
  signal?.addEventListener("abort", stopped);
  let response, document;
  try {
    response = await fetch(path, {
      method,
      body: body === undefined ? undefined : JSON.stringify(body),
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: stop.signal,
    });
    document = response.status === 204 ? null : await read(response);
  } catch (error) {
    if (signal?.aborted) {
      throw signal.reason;
    }
    throw new Offline();
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stopped);
  }
  if (!response.ok) {
    throw new Problem(response.status, document ?? {}, Number(response.headers.get("retry-after")));
  }
  noteServerTime(document?.server_time);
  return { response, document };
}

async function read(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // Something in between answered, not the API.
    return null;
  }
}
