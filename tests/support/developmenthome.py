"""A development home in a stage's own folder, and worker processes that run from it."""

import json
import os
import sys
from pathlib import Path
from typing import Final

import worker
from ceremony.codes import CodeBook, EdgeSeal
from engine.client import TemporalTarget
from engine.processes import ChildProcess, ProcessGroup, ProcessSpec
from tests.support.backstage import KEK, Backstage, development_kdh
from tests.support.deployment import EDGE_KEY, QR_KEY, SMS_SECRET
from tests.support.world import World

SECRET_BYTES: Final = 32
OUTBOX_KEY: Final = bytes(range(32, 64))


class HomeWorld(World):
    """A world whose secrets have the sizes that the settings want."""

    @property
    def codes(self) -> CodeBook:
        """The code book under the SMS secret of the home."""
        return CodeBook(SMS_SECRET[:SECRET_BYTES])

    @property
    def edge(self) -> EdgeSeal:
        """The edge seal under the edge key of the home."""
        return EdgeSeal(EDGE_KEY[:SECRET_BYTES])


def write_home(home: Path, stage: Backstage) -> None:
    """Write trust file and secrets beside a stage's database and journal, which `home` holds."""
    kdh = development_kdh()
    codes = {
        "sms_secret": SMS_SECRET[:SECRET_BYTES].hex(),
        "edge_key": EDGE_KEY[:SECRET_BYTES].hex(),
    }
    keys = {
        **codes,
        "kek": KEK.hex(),
        "qr_key": QR_KEY.hex(),
        "kdh_key": kdh.key_pem.decode(),
        "kdh_certificate": kdh.certificate_pem.decode(),
        "record_key": json.dumps(stage.record_key.private_jwk()),
    }
    (home / "trust.json").write_text(stage.world.trust_file)
    for role, secrets in {
        "ceremony": {**codes, "outbox_key": OUTBOX_KEY.hex()},
        "keys": keys,
    }.items():
        folder = home / "secrets" / role
        folder.mkdir(parents=True)
        (folder / "keyfill_database_url").write_text(stage.url)
        for name, secret in secrets.items():
            (folder / f"keyfill_{name}").write_text(secret)


async def start_worker(
    group: ProcessGroup,
    home: Path,
    target: TemporalTarget,
    role: worker.WorkerRole,
    *,
    source: str = "",
    **settings: str,
) -> ChildProcess:
    """Start `worker.py` in a role and wait until it says that it is ready.

    `settings` are further ones, by their names in the class.
    """
    spec = ProcessSpec(
        name=role,
        command=[sys.executable, worker.__file__, "--role", role],
        log_file=home / f"{role}.log",
        environment={
            **{name: value for name, value in os.environ.items() if not name.startswith("KEYFILL")},
            "KEYFILL_HOME": str(home),
            "KEYFILL_TEMPORAL_ADDRESS": target.address,
            "KEYFILL_TEMPORAL_NAMESPACE": target.namespace,
            "KEYFILL_REGISTRY_SOURCE": source,
            **{f"KEYFILL_{name.upper()}": value for name, value in settings.items()},
        },
    )
    child = ChildProcess.start(spec)
    group.add(child)

    async def ready() -> bool:
        return f"{worker.READY_LINE}: {role}" in child.output()

    await child.wait_ready(ready)
    return child
