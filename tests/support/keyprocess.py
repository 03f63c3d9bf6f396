"""A key worker in a process of its own, for tests of two at once on one journal."""

from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ceremony.codes import CodeBook, EdgeSeal
from ceremony.keys import SigningKey
from ceremony.messages import ReleaseCommand
from ceremony.qr import QrSeal
from ceremony.release_rule import ReleaseSecrets
from ceremony.trust import Trust
from keymanagement.journal import Journal
from keymanagement.kdh import DevelopmentKdh, KdhIdentity
from keymanagement.policy import KeyPolicy
from keymanagement.release import KeyRelease
from keymanagement.releaserecord import RecordSigner
from keymanagement.software import SoftwareKeyManager
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.identities import AUDIENCE
from tests.support.keyfakes import KEK, MemoryArchive
from tests.support.keytokens import NOW

PATIENCE = 60.0


@dataclass(frozen=True)
class Found:
    """What a process was answered, and the bytes that it published."""

    token_digest: str | None
    values: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Elsewhere:
    """All that another process needs to release."""

    journal: Path
    trust_file: str
    now: int
    kdh: DevelopmentKdh
    archive: MemoryArchive
    command: ReleaseCommand

    def run(self, gate: "Barrier", found: "Queue[Found]") -> None:
        """Release as soon as the others are ready too."""
        trust = Trust.read(self.trust_file)
        kdh = KdhIdentity.from_pem(self.kdh.key_pem, self.kdh.certificate_pem, now=NOW)
        with Journal(self.journal, KEK) as journal:
            release = KeyRelease(
                trust=trust,
                secrets=ReleaseSecrets(
                    CodeBook(SMS_SECRET), EdgeSeal(EDGE_KEY), QrSeal(QR_KEY, AUDIENCE)
                ),
                journal=journal,
                manager=SoftwareKeyManager(KEK, kdh),
                archive=self.archive,
                records=RecordSigner(SigningKey.generate("EdDSA"), trust.audience),
                policy=KeyPolicy.for_all(),
                clock=lambda: self.now,
            )
            gate.wait(PATIENCE)
            outcome = release.release(self.command)
        found.put(Found(outcome.token_digest, tuple(one.value for one in self.archive.tokens)))
