// Making a passkey: bound to this device, found without a list, and never without its owner.

import { base64url, checkSupport, meta, PasskeyError, prompt } from "./statements.js";

const NAMES = { [-7]: "ES256", [-8]: "EdDSA", [-257]: "RS256" };
const PROMPT_MILLISECONDS = 120_000;
const ED25519_BYTES = 32;

/**
 * Make a passkey for the person of a draft. Gives `{ credential_id, public_key }`, the key as a
 * JWK with its algorithm, as an entry holds it. Throws PasskeyError.
 */
export async function newPasskey(draft, token) {
  checkSupport();
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
        attestation: "none",
        timeout: PROMPT_MILLISECONDS,
      },
    }),
  );
  return {
    credential_id: base64url(credential.rawId),
    public_key: await publicJwk(credential.response),
  };
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
