// Statements: what is signed is put together here, and its digest is computed here.
//
// A passkey signs the payload's digest, SHA-256 of `typ "." payload`, as the challenge of a
// WebAuthn assertion (W3C Web Authentication, Level 3). The server never chooses what is signed.

import { serverNow } from "./clocks.js";

const NONCE_BYTES = 16;
const PROMPT_MILLISECONDS = 120_000;
const CREDENTIALS = "keyfill.credentials";

/** The passkey did not sign: `passkey-cancelled`, `-unsupported` or `-failed`. */
export class PasskeyError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/** The `typ` of a kind of statement. */
export function typOf(kind) {
  return `keyfill.${kind}+jws`;
}

/** What every statement says: for which deployment, when, and once. */
export function commonFields() {
  return {
    aud: meta("keyfill-audience"),
    iat: Math.floor(serverNow()),
    nonce: hex(crypto.getRandomValues(new Uint8Array(NONCE_BYTES))),
  };
}

/** The bytes of a payload: JSON with sorted members and no spaces, UTF-8. */
export function payloadBytes(payload) {
  return new TextEncoder().encode(JSON.stringify(sorted(payload)));
}

/** The statement digest, 32 bytes: SHA-256 of `typ "." payload`. */
export async function statementDigest(kind, payload) {
  const head = new TextEncoder().encode(`${typOf(kind)}.`);
  const message = new Uint8Array(head.length + payload.length);
  message.set(head);
  message.set(payload, head.length);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", message));
}

/**
 * Sign a statement of this kind with a passkey: one prompt. Gives the statement in its WebAuthn
 * form, as the API takes it. The fields that every statement has are added here. `staffNo` says
 * whose passkey to offer, `credentialId` which. Throws PasskeyError.
 */
export async function sign(
  kind,
  fields,
  { staffNo = meta("keyfill-staff-no"), credentialId = rememberedCredential(staffNo) } = {},
) {
  checkSupport();
  const payload = payloadBytes({ ...commonFields(), ...fields });
  const challenge = await statementDigest(kind, payload);
  const credential = await prompt(() =>
    navigator.credentials.get({
      publicKey: {
        challenge,
        rpId: meta("keyfill-rp"),
        allowCredentials: credentialId
          ? [{ type: "public-key", id: fromBase64url(credentialId) }]
          : [],
        userVerification: "required",
        timeout: PROMPT_MILLISECONDS,
      },
    }),
  );
  return {
    typ: typOf(kind),
    payload: base64url(payload),
    credential_id: base64url(credential.rawId),
    authenticator_data: base64url(credential.response.authenticatorData),
    client_data_json: base64url(credential.response.clientDataJSON),
    signature: base64url(credential.response.signature),
  };
}

/** Ask for a passkey's work; what goes wrong becomes a PasskeyError. */
export async function prompt(ask) {
  try {
    const credential = await ask();
    if (credential === null) {
      throw new PasskeyError("passkey-failed");
    }
    return credential;
  } catch (error) {
    if (error instanceof PasskeyError) {
      throw error;
    }
    const closed = error?.name === "NotAllowedError" || error?.name === "AbortError";
    throw new PasskeyError(closed ? "passkey-cancelled" : "passkey-failed");
  }
}

/** Throws PasskeyError where there are no passkeys to be had, as without https. */
export function checkSupport() {
  if (!globalThis.PublicKeyCredential || !globalThis.isSecureContext || !crypto.subtle) {
    throw new PasskeyError("passkey-unsupported");
  }
}

/** Remember which passkey is whose, so that the next prompt is one tap. No secret. */
export function rememberCredential(staffNo, credentialId) {
  localStorage.setItem(
    CREDENTIALS,
    JSON.stringify({ ...credentials(), [staffNo]: credentialId }),
  );
}

export function forgetCredential(staffNo) {
  const { [staffNo]: _, ...others } = credentials();
  localStorage.setItem(CREDENTIALS, JSON.stringify(others));
}

export function rememberedCredential(staffNo) {
  return credentials()[staffNo] ?? null;
}

export function base64url(bytes) {
  const text = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function fromBase64url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (one) => one.charCodeAt(0));
}

export function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (one) => one.toString(16).padStart(2, "0")).join("");
}

export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.content ?? "";
}

function credentials() {
  try {
    return JSON.parse(localStorage.getItem(CREDENTIALS)) ?? {};
  } catch {
    return {};
  }
}

function sorted(value) {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, sorted(value[name])]),
  );
}
