"""A process that makes keys and tokens, one at a word, so that another can look into its memory.

Like a key worker it writes them into a journal and publishes them into the records; it logs at the
lowest level. All three are in one folder.

    python -m tests.support.keyloads

It reads one line of JSON (`LoadOrder`), then for every further line makes a key, wraps it to the
EPP and prints the token as base64.
"""

import base64
import dataclasses
import json
import logging
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from activities.key_archive import RecordsArchive
from keymanagement.journal import Journal
from keymanagement.journalrows import NewKey, NewToken, ReleaseIntent
from keymanagement.kdh import KdhIdentity
from keymanagement.pkcs11.abilities import HsmRules
from keymanagement.pkcs11.manager import HsmKeyManager
from keymanagement.pkcs11.session import HsmConnection, TokenAccess
from keymanagement.pkcs11.signer import read_kdh
from keymanagement.port import KeyAlgorithm, KeyBinding, KeyManager, TokenTerms
from keymanagement.software import SoftwareKeyManager
from keymanagement.uniqueness import KeyUniqueness
from records import migration
from records.database import Database

DEPLOYMENT = "keyfill-memory"
TERMINAL = "ATM-0001"
AES = KeyAlgorithm.AES_128


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
    folder: str
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


@dataclasses.dataclass(frozen=True)
class Loader:
    """What a key worker does with a key, without the ceremony."""

    order: LoadOrder
    manager: KeyManager
    journal: Journal
    archive: RecordsArchive

    def load(self, number: int) -> tuple[bytes, bytes]:
        """Make a key and a token, write and publish both; gives the host's copy and the token."""
        order, request = self.order, f"request{number:017d}"
        binding = KeyBinding(TERMINAL, request)
        confirmation = sha256(request.encode()).hexdigest()
        self.journal.begin_release(
            ReleaseIntent(request, TERMINAL, order.fingerprint, confirmation, order.now)
        )
        created = self.manager.create(AES, binding)
        token = self.manager.make_token(
            created.block, AES, binding, order.terms(binding), "oaep-jws"
        )
        held, issued = self.journal.save_key_and_first_token(
            NewKey(
                request_id=request,
                algorithm=AES,
                host_block=created.block,
                kcv=created.kcv,
                record="release record",
                created_at=order.now,
                uniqueness=created.uniqueness,
            ),
            NewToken(confirmation, request, confirmation[:32], token, order.now),
        )
        self.archive.publish_token(TERMINAL, held, issued)
        logging.getLogger("keyloads").debug("made %r and %r", created, token)
        return created.block, token.value


def main() -> int:
    """Make one key and token for every line on standard input."""
    order = LoadOrder(**json.loads(sys.stdin.readline()))
    folder = Path(order.folder)
    logging.basicConfig(level=logging.DEBUG, filename=folder / "process.log")
    url = f"sqlite:///{folder / 'keyfill.db'}"
    migration.upgrade(url)
    kept = []
    with (
        closing(Database(url)) as database,
        Journal(folder / "journal.db", bytes.fromhex(order.kek), create=True) as journal,
    ):
        loader = Loader(order, order.manager(), journal, RecordsArchive(database))
        print("ready", flush=True)  # noqa: T201 - the protocol
        for number, _ in enumerate(sys.stdin):
            block, token = loader.load(number)
            if order.keep:
                held: Any = loader.manager
                binding = KeyBinding(TERMINAL, f"request{number:017d}")
                kept.append(held._copies.open(block, AES, binding))
            print(base64.b64encode(token).decode(), flush=True)  # noqa: T201 - the protocol
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
