"""One load of the demo with an HSM, by whole processes; `openssl` opens what it left."""

import base64
import json
import shutil
import subprocess

import pytest

from tests.support import softhsm
from tests.support.demorun import FIRST_LOAD, DemoRun, run_demo

pytestmark = pytest.mark.once("about the HSM; the demo itself runs on both")


@pytest.fixture(scope="module")
def hsm_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo's first load with `KEYFILL_KEY_MANAGER=pkcs11`, and keep its home."""
    softhsm.needed(softhsm.softhsm(), "SoftHSM")
    manager = {"KEYFILL_KEY_MANAGER": "pkcs11"}
    return run_demo(tmp_path_factory, "--keep", program=FIRST_LOAD, **manager)


def test_a_key_of_the_hsm_is_loaded(hsm_demo: DemoRun) -> None:
    """The load ends LOADED by `oaep-jws`, and both sides name the same check value."""
    assert hsm_demo.exit_code == 0, hsm_demo.errors
    outcome = hsm_demo.outcome("ATM-0001")
    assert (outcome["stage"], outcome["exit_code"]) == ("LOADED", 0)
    assert outcome["kcv"] == outcome["server_kcv"]
    (told,) = [line for line in hsm_demo.lines if line.get("event") == "token"]
    assert (told["format"], told["key_algorithm"]) == ("oaep-jws", "AES-128")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_the_key_is_nowhere_but_in_the_epp(hsm_demo: DemoRun) -> None:
    """`openssl` opens the token; no log, database or other file of the home holds what is in it."""
    assert hsm_demo.exit_code == 0, hsm_demo.errors
    token = base64.b64decode((hsm_demo.export / "token.b64").read_bytes())
    payload = json.loads(unpadded(token.decode().split(".")[1]))
    assert payload["key_encryption"] == "RSA-OAEP"
    key = subprocess.run(
        [
            *("openssl", "pkeyutl", "-decrypt", "-inkey", str(hsm_demo.export / "epp-key.pem")),
            *("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"),
        ],
        input=unpadded(payload["encrypted_key"]),
        capture_output=True,
        check=True,
    ).stdout
    assert len(key) == 16
    forms = [key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)]
    (home,) = hsm_demo.temporary.glob("keyfill-demo-*/home")
    files = [one for one in home.rglob("*") if one.is_file() and "terminals" not in one.parts]
    assert {one.name for one in files} >= {"keyfill.db", "temporal.db", "journal.db"}
    assert [one for one in files if any(form in one.read_bytes() for form in forms)] == []


def unpadded(text: str) -> bytes:
    """Decode base64url with nothing of ours."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
