"""Where the programs of Temporal are: the dev server and the test server."""

import os
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Final

TEMPORAL: Final = "temporal"
TEST_SERVER: Final = "temporal-test-server"


class ProgramMissing(Exception):
    """A program is neither on the PATH nor among those of this Python environment.

    Attributes:
        name: Its file name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no program named {name} on the PATH or in this Python environment")


def external_address(environ: Mapping[str, str] | None = None) -> str | None:
    """The `host:port` of a Temporal service that the user runs already, from TEMPORAL_ADDRESS.

    If there is one, no embedded server is wanted.
    """
    return (os.environ if environ is None else environ).get("TEMPORAL_ADDRESS", "").strip() or None


def temporal_path(environ: Mapping[str, str] | None = None) -> Path:
    """The Temporal command: the user's own on the PATH first, then the packaged one.

    Raises:
        ProgramMissing: There is neither.
    """
    return _find(TEMPORAL, environ)


def test_server_path(environ: Mapping[str, str] | None = None) -> Path:
    """Temporal's time-skipping test server, for the `test_server_existing_path` of the SDK.

    Raises:
        ProgramMissing: The development tools are not installed.
    """
    return _find(TEST_SERVER, environ)


# Its name is the one that its callers want, but it is no test.
test_server_path.__test__ = False  # type: ignore[attr-defined]


def _find(name: str, environ: Mapping[str, str] | None) -> Path:
    path = (os.environ if environ is None else environ).get("PATH", os.defpath)
    # An environment that is used but not activated is not on the PATH.
    found = shutil.which(name, path=path) or shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        raise ProgramMissing(name)
    return Path(found)
