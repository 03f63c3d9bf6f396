"""The user's own Temporal comes first, then the packaged one."""

from pathlib import Path

import pytest

from engine import programs
from engine.programs import ProgramMissing, external_address, temporal_path


def test_program_on_the_path_comes_first(tmp_path: Path) -> None:
    """A `temporal` on the PATH takes precedence over the packaged one."""
    own = tmp_path / "temporal"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o700)
    assert temporal_path({"PATH": str(tmp_path)}) == own


def test_packaged_programs_are_found_without_activation(tmp_path: Path) -> None:
    """With nothing on the PATH, both programs of this Python environment are found."""
    assert temporal_path({"PATH": str(tmp_path)}).name == "temporal"
    assert programs.test_server_path({"PATH": str(tmp_path)}).name == "temporal-test-server"


def test_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither has it, the error names the program."""
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(ProgramMissing) as error:
        temporal_path({"PATH": str(tmp_path)})
    assert error.value.name == "temporal"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"TEMPORAL_ADDRESS": " temporal.example:7233 "}, "temporal.example:7233"),
        ({"TEMPORAL_ADDRESS": " "}, None),
        ({}, None),
    ],
)
def test_external_address(environ: dict[str, str], address: str | None) -> None:
    """TEMPORAL_ADDRESS names a service that runs already; blank means none."""
    assert external_address(environ) == address
