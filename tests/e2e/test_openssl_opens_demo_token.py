"""`openssl` alone opens the demo's key token; no code of this project takes part."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.demorun import DemoRun

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")

# object identifiers, DER: envelopedData, randomNonce, and the attribute that holds the header
ENVELOPED_DATA = bytes.fromhex("06092a864886f70d010703")
RANDOM_NONCE = bytes.fromhex("060a2a864886f70d01091903")
HEADER = bytes.fromhex("301f06092a864886f70d01070131120410")


def openssl(*arguments: str | Path) -> bytes:
    """Run openssl, which has to succeed, and give its output."""
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True).stdout


def around(tag: int, body: bytes) -> bytes:
    """One DER element of 256 to 65 535 bytes."""
    return bytes((tag, 0x82)) + len(body).to_bytes(2, "big") + body


@pytest.fixture
def token(demo: DemoRun) -> bytes:
    """The TR-34 token, DER."""
    assert demo.exit_code == 0, demo.errors
    return base64.b64decode((demo.export / "token.b64").read_bytes())


@pytest.fixture
def enveloped(demo: DemoRun, token: bytes, tmp_path: Path) -> bytes:
    """What the token's signature is over, as `openssl cms -verify` gives it."""
    (tmp_path / "token").write_bytes(token)
    host = demo.export / "kdh.pem"
    arguments: list[str | Path] = ["cms", "-verify", "-binary", "-inform", "DER"]
    arguments += ["-in", tmp_path / "token", "-certfile", host, "-CAfile", host]
    # the KDH's one purpose is none that openssl knows
    return openssl(*arguments, "-purpose", "any")


@pytest.fixture
def key_block(demo: DemoRun, enveloped: bytes, tmp_path: Path) -> bytes:
    """What `openssl cms -decrypt` finds in the envelope with the EPP's private key."""
    info = around(0x30, ENVELOPED_DATA + around(0xA0, enveloped))
    (tmp_path / "enveloped").write_bytes(info)
    arguments: list[str | Path] = ["cms", "-decrypt", "-binary", "-inform", "DER"]
    return openssl(*arguments, "-in", tmp_path / "enveloped", "-inkey", demo.export / "epp-key.pem")


def test_the_signature_holds(enveloped: bytes, token: bytes) -> None:
    """The KDH's certificate verifies the token."""
    assert enveloped
    assert enveloped in token


def test_the_epp_key_opens_it_and_the_kcv_agrees(
    demo: DemoRun, key_block: bytes, tmp_path: Path
) -> None:
    """The EPP's key opens a key block whose key has the CMAC check value that was shown."""
    before, header, text = key_block.partition(HEADER)
    assert (header, text) == (HEADER, b"D0000K1AD00N0000")
    assert before[-18:-16] == b"\x04\x10"
    key = before[-16:]
    (tmp_path / "zeros").write_bytes(bytes(16))
    mac = openssl(
        *("mac", "-cipher", "AES-128-CBC", "-macopt", f"hexkey:{key.hex()}"),
        *("-in", tmp_path / "zeros", "CMAC"),
    )
    kcv = mac.decode().strip().lower()[:6]
    assert kcv == (demo.export / "kcv.txt").read_text().strip()
    assert kcv == demo.outcome("ATM-0001")["server_kcv"]


def test_the_token_answers_a_nonce_and_holds_no_kcv(demo: DemoRun, token: bytes) -> None:
    """The signed attributes name the EPP's nonce and the header, and never the check value."""
    assert token.count(RANDOM_NONCE) == 1
    assert token.count(HEADER + b"D0000K1AD00N0000") == 1
    assert bytes.fromhex(demo.outcome("ATM-0001")["kcv"]) not in token
