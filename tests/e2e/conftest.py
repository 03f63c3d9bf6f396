"""The demo, run once as whole processes; several tests look at what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.demorun import DemoRun

ROOT = Path(__file__).parents[2]
DEMO_WITHIN = 240.0


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo, with a folder for temporary files of its own."""
    export, temporary = tmp_path_factory.mktemp("export"), tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    environment.pop("TEMPORAL_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", "demo", "--json", "--export", str(export)],
        env=environment,
        cwd=temporary,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_WITHIN,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return DemoRun(done.returncode, lines, done.stderr, export, temporary)
