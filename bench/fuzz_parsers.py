"""Coverage-guided fuzzing of every parser that reads what strangers send.

    python -m pip install atheris
    python -m bench.fuzz_parsers --seconds 600
    python -m bench.fuzz_parsers --replay <what a finding printed>

The rules are those of `tests.support.parserbench`: refused with the documented error, or genuine.
A finding is anything else, an input that takes over five seconds, or one over 1 GiB of memory.
libFuzzer stops at the first; it is printed as base64url, together with how to run it again.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

INSTRUMENTED: Final = ["ceremony", "joserfc", "webauthn"]
MAX_INPUT_BYTES: Final = 40_000
INPUT_SECONDS: Final = 5
MEMORY_MB: Final = 1024
_MISSING: Final = (
    "The fuzzer needs atheris, which is no dependency of Keyfill's: "
    "install it into this environment with `python -m pip install atheris`."
)


def main(arguments: Sequence[str]) -> int:
    """Fuzz for a while in a process of its own, or replay one input; gives the exit status."""
    parser = argparse.ArgumentParser(prog="bench.fuzz_parsers", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", metavar="BASE64URL")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.replay is not None:
        from tests.support.fuzztargets import one_input
        from tests.support.parserbench import ParserBench

        one_input(ParserBench.make())(urlsafe_b64decode(asked.replay))
        return 0
    atheris = _atheris()
    if atheris is None:
        print(_MISSING, file=sys.stderr)  # noqa: T201 - a command
        return 2
    if asked.corpus is not None:
        _fuzz(atheris, asked.corpus, asked.seconds, asked.seed)
    return _fuzz_apart(asked.seconds, asked.seed)


def _fuzz_apart(seconds: int, seed: int) -> int:
    # libFuzzer ends its process; the folder and the report outlive it here.
    with tempfile.TemporaryDirectory(prefix="keyfill-fuzz-") as made:
        folder = Path(made)
        command = [sys.executable, "-m", "bench.fuzz_parsers", "--corpus", made]
        ended = subprocess.run(
            [*command, "--seconds", str(seconds), "--seed", str(seed)], check=False
        )
        found = [one for one in folder.iterdir() if one.is_file() and one.suffix == ".finding"]
        for finding in found:
            print(f"finding: --replay {urlsafe_b64encode(finding.read_bytes()).decode()}")  # noqa: T201 - a command
        print(f"{len(found)} findings, exit status {ended.returncode}")  # noqa: T201 - a command
        return 1 if found else ended.returncode


def _fuzz(atheris: ModuleType, folder: Path, seconds: int, seed: int) -> None:
    # What is loaded already is not instrumented. For `encoding` that is meant: following its loop
    # over every character makes the fuzzer twenty times slower.
    importlib.import_module("ceremony.encoding")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.support.fuzztargets import dictionary, one_input, seeds
        from tests.support.parserbench import ParserBench
    bench = ParserBench.make()
    corpus = folder / "corpus"
    corpus.mkdir()
    for n, one in enumerate(seeds(bench)):
        (corpus / f"seed-{n}").write_bytes(one)
    words = folder / "words"
    words.write_text(dictionary(bench))
    atheris.Setup(
        [
            "fuzz_parsers",
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={INPUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-seed={seed}",
            f"-dict={words}",
            f"-exact_artifact_path={folder / 'input.finding'}",
            "-print_final_stats=1",
            str(corpus),
        ],
        one_input(bench),
    )
    atheris.Fuzz()


def _atheris() -> ModuleType | None:
    try:
        return importlib.import_module("atheris")
    except ImportError:
        return None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
