"""One load of the demo with SM2 and SM4, by whole processes; `openssl` opens what it left."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from terminal.gm.envelope import read_envelope
from terminal.gm.signeddata import read_signed
from terminal.tr34.der import INTEGER, OCTETS, SEQUENCE, whole
from tests.support.demorun import FIRST_LOAD, DemoRun, run_demo

pytestmark = pytest.mark.once("about algorithms; the demo itself runs on both")


@pytest.fixture(scope="module")
def gm_demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """Run the demo's first load with `KEYFILL_KEY_ALGORITHM=SM4`."""
    return run_demo(tmp_path_factory, program=FIRST_LOAD, KEYFILL_KEY_ALGORITHM="SM4")


def test_an_sm4_key_is_loaded_by_gm_envelope(gm_demo: DemoRun) -> None:
    """The load ends LOADED, both sides name the same check value, and the format is told."""
    assert gm_demo.exit_code == 0, gm_demo.errors
    outcome = gm_demo.outcome("ATM-0001")
    assert (outcome["stage"], outcome["exit_code"]) == ("LOADED", 0)
    assert outcome["kcv"] == outcome["server_kcv"]
    (told,) = [line for line in gm_demo.lines if line.get("event") == "token"]
    assert (told["format"], told["key_algorithm"]) == ("gm-envelope", "SM4")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")
def test_openssl_opens_its_token(gm_demo: DemoRun) -> None:
    """The EPP's key opens the content key, that one the key block, and the check value agrees."""
    assert gm_demo.exit_code == 0, gm_demo.errors
    token = base64.b64decode((gm_demo.export / "token.b64").read_bytes())
    envelope = read_envelope(read_signed(token).content)
    content_key = openssl(
        "pkeyutl",
        "-decrypt",
        "-inkey",
        gm_demo.export / "epp-key.pem",
        given=envelope.encrypted_key,
    )
    block = openssl(
        *("enc", "-d", "-sm4-cbc", "-K", content_key.hex(), "-iv", envelope.iv.hex()),
        given=envelope.ciphertext,
    )
    members = whole(block).members()
    members.take(INTEGER)
    members.take(SEQUENCE)
    key = members.take(OCTETS).value
    kcv = openssl("enc", "-sm4-ecb", "-nopad", "-K", key.hex(), given=bytes(16))[:3].hex()
    assert kcv == (gm_demo.export / "kcv.txt").read_text().strip()
    assert kcv == gm_demo.outcome("ATM-0001")["server_kcv"]
    assert bytes.fromhex(kcv) not in token


def openssl(*arguments: str | Path, given: bytes) -> bytes:
    """Run openssl, which has to succeed, and give its output."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=given, capture_output=True, check=True
    )
    return done.stdout
