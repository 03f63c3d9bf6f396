"""`make compose-test`: builds the image, starts docker-compose.yml as it is, and runs a load on it.

    python -m bench.composetest [--stand-ins]

Needs root, a Docker engine and the base image that deploy/env.example names; where one is missing
it says SKIPPED and ends with 0. Images of PostgreSQL and Temporal that can be neither found nor
pulled are skipped too, unless `--stand-ins` builds ones from bench/standins under their names:
then it is shown that the stack hangs together, and not that those images do.

The engine's DOCKER_HOST and DOCKER_BUILDKIT are the environment's; COMPOSE_TEST_NETWORK=host lets a
build out where bridges have no way; a folder `wheels` is installed from (see the Dockerfile).
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ceremony.keys import SigningKey
from commands import programs
from commands.demostage import DemoStage
from commands.homefolder import HomeFolder, write_key
from commands.init import OFFICERS, make_home
from commands.makesecrets import KEYFILL_USER, ProductionSecrets
from commands.samples import SampleTerminal, make_sample_terminal
from commands.scenario import Act, Colleague, Scenario
from engine.programs import temporal_path
from keymanagement.kdh import certify_development_kdh

ROOT: Final = Path(__file__).parents[1]
STAND_INS: Final = ROOT / "bench" / "standins"
PROJECT: Final = "keyfill-compose-test"
AUDIENCE: Final = "keyfill-compose-test"
ORIGIN: Final = "https://keyfill.bank.example"
API: Final = "http://127.0.0.1:18480"
SCENARIO: Final = Scenario(
    "ATM-0001",
    "Main Street",
    Colleague("ana", "A1001", "Ana", "+4915112345671"),
    Colleague("ben", "A1002", "Ben", "+4915112345672"),
)
CONFINED: Final = ("--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp")
WITHIN: Final = 180.0
OTHERS: Final = (
    "POSTGRES_IMAGE",
    "TEMPORAL_SERVER_IMAGE",
    "TEMPORAL_TOOLS_IMAGE",
    "TEMPORAL_UI_IMAGE",
)


class Skipped(Exception):
    """Something that the test needs is not to be had here."""


def main() -> int:
    """Run it; gives 0 if the load was loaded, or if it was skipped."""
    parser = argparse.ArgumentParser(description="Run a load on the stack of docker-compose.yml.")
    parser.add_argument("--compose", default="docker compose")
    parser.add_argument("--stand-ins", action="store_true")
    options = parser.parse_args()
    try:
        images = prepare(stand_ins=options.stand_ins)
        with tempfile.TemporaryDirectory(prefix="keyfill-compose-") as folder:
            made = prepare_files(Path(folder), images)
            with running(options.compose.split(), made) as stack:
                outcome = asyncio.run(load(stack))
    except Skipped as reason:
        tell(f"SKIPPED make compose-test: {reason}")
        return 0
    tell(f"{SCENARIO.terminal_no}: {outcome.stage}, KCV on both sides: {outcome.kcv}")
    return 0 if outcome.as_expected else 1


# ---- images


def prepare(*, stand_ins: bool) -> dict[str, str]:
    """See that all images are there, and build ours; gives the variables of the example.

    Raises:
        Skipped: if an engine or an image is missing.
    """
    if os.geteuid() != 0:
        raise Skipped("secrets are given to their containers' users by root")
    if shutil.which("docker") is None or docker("version", check=False).returncode != 0:
        raise Skipped("no Docker engine answers")
    text = (ROOT / "deploy" / "env.example").read_text()
    variables = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    base = variables["KEYFILL_PYTHON_IMAGE"]
    if not had(base):
        raise Skipped(f"there is no base image {base}")
    variables["KEYFILL_IMAGE"] = "keyfill:compose-test"
    build(variables["KEYFILL_IMAGE"], ROOT, base)
    examine(variables["KEYFILL_IMAGE"])
    if stand_ins:
        build_stand_ins(variables)
    missing = [variables[name] for name in OTHERS if not had(variables[name])]
    if missing:
        raise Skipped(f"the image was built and examined; there is no {', '.join(missing)}")
    return variables


def had(image: str) -> bool:
    """Whether an image is here, or can be pulled."""
    here = docker("image", "inspect", image, check=False).returncode == 0
    return here or docker("pull", "--quiet", image, check=False).returncode == 0


def build(tag: str, folder: Path, base: str) -> None:
    """Build an image."""
    tell(f"building {tag}")
    options = ["--build-arg", f"PYTHON_IMAGE={base}"]
    if (folder / "wheels").is_dir():
        options += ["--build-arg", "PIP_OPTIONS=--no-index --find-links wheels"]
    if network := os.environ.get("COMPOSE_TEST_NETWORK"):
        options += ["--network", network]
    docker("build", *options, "--tag", tag, str(folder))


def build_stand_ins(variables: dict[str, str]) -> None:
    """Build what stands in for images that cannot be had, under their names."""
    base = variables["KEYFILL_PYTHON_IMAGE"]
    if not had(variables["POSTGRES_IMAGE"]):
        build(variables["POSTGRES_IMAGE"], STAND_INS / "postgresql", base)
    if all(had(variables[name]) for name in OTHERS[1:]):
        return
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "temporal"
        shutil.copytree(STAND_INS / "temporal", context)
        shutil.copy(temporal_path(), context / "temporal")
        for name in OTHERS[1:]:
            build(variables[name], context, base)


def examine(image: str) -> None:
    """See that the image is as the Dockerfile promises: not root, no pip, and it runs confined."""
    docker("run", "--rm", *CONFINED, image, "--help")
    shell = ("--entrypoint=/bin/sh", image, "-c")
    told = docker("run", "--rm", *CONFINED, *shell, "id -u; python3 -m pip || echo no pip").stdout
    assert told.split("\n")[:2] == [str(KEYFILL_USER), "no pip"], told
    refused = docker("run", "--rm", *shell, "touch /opt/keyfill/bin/keyfill", check=False)
    assert refused.returncode != 0, "the image's user may change the image"
    tell("the image runs as another than root, read-only, without pip")


# ---- what is mounted


@dataclass(frozen=True)
class Files:
    """What the stack and its people need on disk."""

    folder: Path
    home: HomeFolder
    work: Path
    environment: Path
    override: Path


def prepare_files(folder: Path, variables: dict[str, str]) -> Files:
    """Make secrets, trust file, policy, a terminal with its feed, and Compose's variables."""
    now = int(time.time())
    home, secrets, work = HomeFolder(folder / "home"), folder / "secrets", folder / "work"
    make_home(home, origin=ORIGIN, audience=AUDIENCE, now=now)
    for one in (home.logs, work):
        one.mkdir()
    work.chmod(0o777)
    folder.chmod(0o755)
    ProductionSecrets.make(
        now=now, database_host="postgresql", temporal_hosts=["temporal", "localhost"]
    ).write(secrets)
    key = load_pem_private_key((secrets / "keys/keyfill_kdh_key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = certify_development_kdh(key, now=now).public_bytes(Encoding.PEM)
    home.kdh_certificate.write_bytes(certificate)
    given = {"keys/keyfill_kdh_certificate": certificate}
    given |= {f"{role}/keyfill_twilio_auth_token": b"0f" * 16 for role in ("api", "ceremony")}
    for name, content in given.items():
        (secrets / name).write_bytes(content)
        os.chown(secrets / name, KEYFILL_USER, KEYFILL_USER)
    first, second = SCENARIO.first.person, SCENARIO.second.person
    make_sample_terminal(home, SampleTerminal(SCENARIO.terminal_no, first, second), now=now)
    for name, source in {
        "trust.json": home.trust_file,
        "policy.toml": home.policy_file,
        "terminals.jsonl": home.feed_file,
    }.items():
        shutil.copy(source, folder / name)
        (folder / name).chmod(0o444)
    chosen = {
        **variables,
        "KEYFILL_SECRETS": str(secrets),
        "KEYFILL_TRUST": str(folder / "trust.json"),
        "KEYFILL_POLICY": str(folder / "policy.toml"),
        "KEYFILL_API_PORTS": "18480-18481",
        "KEYFILL_CODEC_PORT": "18482",
        "KEYFILL_UI_PORT": "18483",
        "KEYFILL_FRONT_SUBNET": "10.187.82.0/24",
        "KEYFILL_PROXY": "10.187.82.1",
        "KEYFILL_REGISTRY_SOURCE": "/keyfill/terminals.jsonl",
        # Its people sign with keys in files.
        "KEYFILL_APPROVAL_KEYS": "any",
        # And load a key in the minute in which they are enrolled.
        "KEYFILL_COOLING_OFF_AT_LEAST": "0",
    }
    environment, override = folder / "environment", folder / "override.json"
    environment.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
    override.write_text(json.dumps(overriding(folder, variables["KEYFILL_IMAGE"])))
    return Files(folder, home, work, environment, override)


def overriding(folder: Path, image: str) -> dict[str, Any]:
    """What differs from production: where SMS go, and where the feed comes from.

    The gateway speaks plain HTTP on loopback only, so the provider moves in with the one worker.
    """

    def mounted(source: Path, target: str) -> dict[str, Any]:
        return {"type": "bind", "source": str(source), "target": target, "read_only": True}

    return {
        "services": {
            "phone-company": {
                "image": image,
                "entrypoint": ["python3", "-I", "/phonecompany.py"],
                "command": [],
                "volumes": [mounted(STAND_INS / "phonecompany.py", "/phonecompany.py")],
                "network_mode": "service:ceremony-worker",
            },
            "ceremony-worker": {
                "environment": {"KEYFILL_TWILIO_BASE_URL": "http://127.0.0.1:8099"},
                "deploy": {"replicas": 1},
                "volumes": [mounted(folder / "terminals.jsonl", "/keyfill/terminals.jsonl")],
            },
        }
    }


# ---- the stack


@dataclass(frozen=True)
class Stack:
    """The running stack; `read` is `commands.scenario.Outbox`'s."""

    command: Sequence[str]
    files: Files

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run Compose; gives what it printed."""
        return run([*self.command, *arguments], check=check).stdout

    def keyfill(self, *arguments: str) -> str:
        """Run a command in a container of the ceremony worker's, as an operator does."""
        mount = f"{self.files.work}:/exchange"
        running = ("run", "--rm", "--no-deps", "--no-TTY", "--volume", mount, "ceremony-worker")
        return self.compose(*running, *arguments)

    async def read(self, who: Colleague, terminal_no: str, pattern: re.Pattern[str]) -> str:
        """Wait for an SMS to this person about this terminal."""
        deadline = time.monotonic() + WITHIN
        while time.monotonic() < deadline:
            told = await asyncio.to_thread(
                self.compose, "logs", "--no-log-prefix", "--no-color", "phone-company"
            )
            for message in (json.loads(line) for line in told.splitlines() if line[:1] == "{"):
                found = pattern.search(message["text"])
                about = f"terminal {terminal_no}," in message["text"]
                if message["to"] == who.number and about and found is not None:
                    return found[1]
            await asyncio.sleep(0.3)
        raise AssertionError(f"no SMS {pattern.pattern!r} came")


@contextmanager
def running(compose: Sequence[str], files: Files) -> Iterator[Stack]:
    """Start everything as docs/operations.md says; take all of it away at the end."""
    both = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(files.override))
    chosen = ("--project-name", PROJECT, "--env-file", str(files.environment))
    stack = Stack([*compose, *chosen, *both], files)
    try:
        tell("starting the stack")
        stack.compose("run", "--rm", "--no-deps", "key-worker", "db", "create-journal")
        started = run([*stack.command, "up", "--detach", "--wait", "--no-build"], check=False)
        if started.returncode != 0:
            tell(started.stderr)
            tell(stack.compose("ps", "--all", check=False))
            tell(stack.compose("logs", "--tail", "20", check=False))
            raise SystemExit("the stack did not come up")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", check=False)


async def load(stack: Stack) -> Any:
    """Enrol two people, synchronise the terminal, and act one load."""
    tell("enrolling two administrators")
    enrol(stack)
    report = json.loads(stack.keyfill("terminals", "sync", "--json"))
    assert report["added"] == 1, report
    tell("loading")
    async with DemoStage(stack.files.home, API, lambda *_: None) as stage:
        act = Act(
            SCENARIO,
            server=API,
            audience=AUDIENCE,
            folder=stack.files.home.terminals / SCENARIO.terminal_no,
            keys=stack.files.home.administrators,
            terminal=stage.terminal,
            keyfill=stage.keyfill,
            outbox=stack,
        )
        async with asyncio.timeout(WITHIN):
            return await act.play()


def enrol(stack: Stack) -> None:
    """Enrol both people: they sign, two officers sign a file offline, the file comes back."""
    home, work = stack.files.home, stack.files.work
    for who in (SCENARIO.first, SCENARIO.second):
        key = SigningKey.generate()
        for folder in (home.administrators, work):
            write_key(folder / f"{who.person}.jwk", key)
        (work / f"{who.person}.jwk").chmod(0o444)
        said = ("--staff-no", who.staff_no, "--name", who.name, "--number", who.number)
        kept = ("--key", f"/exchange/{who.person}.jwk")
        stack.keyfill("administrators", "add", who.person, *said, *kept)
    stack.keyfill("officers", "pending", "--out", "/exchange/pending")
    for officer in OFFICERS:
        key_file = str(home.officers / f"{officer}.jwk")
        signing = ("officers", "sign", str(work / "pending"), "--yes", "--key", key_file)
        environment = {**programs.environment(), "KEYFILL_HOME": str(home.path)}
        run([*programs.KEYFILL, *signing], environment=environment)
    (work / "pending").chmod(0o444)
    stack.keyfill("officers", "import", "/exchange/pending")


def docker(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run Docker."""
    return run(["docker", *arguments], check=check)


def run(
    command: Sequence[str], *, check: bool = True, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; shows what it said if it failed and must not."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    if check and done.returncode != 0:
        tell(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
        raise SystemExit(1)
    return done


def tell(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
