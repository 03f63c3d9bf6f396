"""A process that makes keys and tokens, one at a word, so that another can look into its memory.

    python -m tests.support.keyloads

It reads one line of JSON (`LoadOrder`), then for every further line makes a key, wraps it to the
EPP and prints the token as base64.
"""

import base64
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from keymanagement.kdh import KdhIdentity
from keymanagement.pkcs11.abilities import HsmRules
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.session import HsmConnection, TokenAccess
from keymanagement.pkcs11.signer import read_kdh
from keymanagement.port import KeyAlgorithm, KeyBinding, KeyManager, TokenTerms
from keymanagement.software import SoftwareKeyManager
from keymanagement.uniqueness import KeyUniqueness

DEPLOYMENT = "keyfill-memory"


@dataclasses.dataclass(frozen=True)
class LoadOrder:
    """What the process is to do; without `kdh_key` the KDH's key and the TMKs are in the HSM.

    `keep` has it hold on to every clear key, as a key manager never does.
    """

    epp: str
    fingerprint: str
    kdh_certificate: str
    now: int
    kek: str
    kdh_key: str = ""
    module: str = ""
    token: str = ""
    pin: str = ""
    parameters: str = ""
    sha1: bool = False
    untrusted: bool = False
    keep: bool = False

    def manager(self) -> KeyManager:
        """The key manager that makes the keys."""
        kek = bytes.fromhex(self.kek)
        certificate = self.kdh_certificate.encode()
        if self.kdh_key:
            kdh = KdhIdentity.from_pem(self.kdh_key.encode(), certificate, now=self.now)
            return SoftwareKeyManager(kek, kdh)
        access = TokenAccess(Path(self.module), self.token, self.pin, self.parameters)
        connection = HsmConnection(access)
        return HsmKeyManager(
            connection,
            read_kdh(connection, certificate, now=self.now),
            KeyUniqueness(kek),
            deployment=DEPLOYMENT,
            rules=HsmRules(self.sha1, self.untrusted),
        )

    def terms(self, binding: KeyBinding) -> TokenTerms:
        """The terms of a token for the order's EPP."""
        return TokenTerms(
            request_id=binding.request_id,
            terminal_no=binding.terminal_no,
            epp_certificate_der=base64.b64decode(self.epp),
            epp_fingerprint=self.fingerprint,
            krd_nonce="0f" * 16,
            issued_at=self.now,
            expires_at=self.now + 86_400,
        )


def main() -> int:
    """Make one key and token for every line on standard input."""
    order = LoadOrder(**json.loads(sys.stdin.readline()))
    manager, kept = order.manager(), []
    print("ready", flush=True)  # noqa: T201 - the protocol
    for n, _ in enumerate(sys.stdin):
        binding = KeyBinding("ATM-0001", f"request{n:017d}")
        created = manager.create(KeyAlgorithm.AES_128, binding)
        token = manager.make_token(
            created.block, KeyAlgorithm.AES_128, binding, order.terms(binding), "oaep-jws"
        )
        if order.keep:
            held: Any = manager
            kept.append(held._copies.open(created.block, KeyAlgorithm.AES_128, binding))
        print(base64.b64encode(token.value).decode(), flush=True)  # noqa: T201 - the protocol
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
