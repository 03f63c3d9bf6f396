// Making a passkey: bound to this device, found without a list, and never without its owner.

import { base64url, checkSupport, meta, PasskeyError, prompt } from "./statements.js";

const NAMES = { [-7]: "ES256", [-8]: "EdDSA", [-257]: "RS256" };
const PROMPT_MILLISECONDS = 120_000;
const ED25519_BYTES = 32;
/** Where authenticator data has its flags, after the hash of the relying party, and one of them. */
const FLAGS_AT = 32;
const BACKUP_ELIGIBLE = 0x08;

/**
 * Make a passkey for the person of a draft. Gives `{ credential_id, public_key }`, the key as a
 * JWK with its algorithm, as an entry holds it. Throws PasskeyError, `passkey-not-device-bound`
 * where the draft needs a passkey that stays on one device and this one need not.
 */
export async function newPasskey(draft, token) {
  checkSupport();
  const bound = needsOneDevice(draft);
  const credential = await prompt(async () =>
    navigator.credentials.create({
      publicKey: {
        rp: { id: meta("keyfill-rp"), name: "Keyfill" },
        // Of this link, not of the person: a passkey in use is not overwritten by a new one.
        user: {
          id: await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token)),
          name: draft.staff_no,
          displayName: draft.name,
        },
        // What is signed comes next, by the new passkey itself; this proves nothing to anybody.
        challenge: crypto.getRandomValues(new Uint8Array(32)),
        pubKeyCredParams: Object.keys(NAMES).map((alg) => ({ type: "public-key", alg: Number(alg) })),
        authenticatorSelection: {
          residentKey: "required",
          requireResidentKey: true,
          userVerification: "required",
        },
        // WebAuthn has no option that demands a passkey of one device. Hints (Level 3) put first
        // what makes such ones, and the passkey says of itself what it is: see below.
        hints: bound ? ["security-key", "client-device"] : [],
        attestation: "none",
        timeout: PROMPT_MILLISECONDS,
      },
    }),
  );
  const flags = new Uint8Array(credential.response.getAuthenticatorData())[FLAGS_AT];
  if (bound && flags & BACKUP_ELIGIBLE) {
    await discard(credential);
    throw new PasskeyError("passkey-not-device-bound");
  }
  return {
    credential_id: base64url(credential.rawId),
    public_key: await publicJwk(credential.response),
  };
}

/** Whether the person of a draft will sign approvals, and only a passkey of one device may. */
export function needsOneDevice(draft) {
  return draft.approval_keys === "device-bound-passkeys";
}

/** Tell whoever keeps a passkey that it serves nothing, where the browser can. */
async function discard(credential) {
  const unknown = { rpId: meta("keyfill-rp"), credentialId: base64url(credential.rawId) };
  try {
    await PublicKeyCredential.signalUnknownCredential?.(unknown);
  } catch {
    // It stays in a list of passkeys, and signs nothing here.
  }
}

async function publicJwk(response) {
  const alg = NAMES[response.getPublicKeyAlgorithm()];
  const spki = response.getPublicKey();
  if (!alg || !spki) {
    throw new PasskeyError("algorithm");
  }
  if (alg === "EdDSA") {
    // The key is the end of its SubjectPublicKeyInfo (RFC 8410 section 4).
    return { kty: "OKP", crv: "Ed25519", alg, x: base64url(spki.slice(-ED25519_BYTES)) };
  }
  const algorithm =
    alg === "ES256"
      ? { name: "ECDSA", namedCurve: "P-256" }
      : { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("spki", spki, algorithm, true, ["verify"]);
  const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey("jwk", key);
  return alg === "ES256" ? { kty, crv, alg, x, y } : { kty, alg, n, e };
}
