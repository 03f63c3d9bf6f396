"""`openssl` alone opens the demo's key token; no code of this project takes part."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.demorun import DemoRun

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not here")


def openssl(*arguments: str) -> bytes:
    """Run openssl, which has to succeed, and give its output."""
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def decoded(text: str) -> bytes:
    """Unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def token(demo: DemoRun) -> tuple[str, str, str]:
    """The token's three parts: header, payload, signature."""
    assert demo.exit_code == 0, demo.errors
    header, payload, signature = (
        base64.b64decode((demo.export / "token.b64").read_bytes()).decode("ascii").split(".")
    )
    return header, payload, signature


def payload_of(token: tuple[str, str, str]) -> dict[str, Any]:
    """What the token says."""
    said: dict[str, Any] = json.loads(decoded(token[1]))
    return said


def test_the_signature_holds(demo: DemoRun, token: tuple[str, str, str], tmp_path: Path) -> None:
    """The KDH's certificate verifies the token: PS256 over header and payload."""
    header, payload, signature = token
    (tmp_path / "signed").write_bytes(f"{header}.{payload}".encode())
    (tmp_path / "signature").write_bytes(decoded(signature))
    public = openssl("x509", "-in", str(demo.export / "kdh.pem"), "-noout", "-pubkey")
    (tmp_path / "kdh-public.pem").write_bytes(public)
    verified = openssl(
        "dgst",
        "-sha256",
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_pss_saltlen:32",
        "-verify",
        str(tmp_path / "kdh-public.pem"),
        "-signature",
        str(tmp_path / "signature"),
        str(tmp_path / "signed"),
    )
    assert verified.strip() == b"Verified OK"


def test_the_epp_key_opens_it_and_the_kcv_agrees(
    demo: DemoRun, token: tuple[str, str, str], tmp_path: Path
) -> None:
    """RSAES-OAEP by the EPP's key gives a key whose CMAC check value is the one shown."""
    said = payload_of(token)
    (tmp_path / "encrypted").write_bytes(decoded(said["encrypted_key"]))
    key = openssl(
        "pkeyutl",
        "-decrypt",
        "-inkey",
        str(demo.export / "epp-key.pem"),
        "-in",
        str(tmp_path / "encrypted"),
        "-pkeyopt",
        "rsa_padding_mode:oaep",
        "-pkeyopt",
        "rsa_oaep_md:sha256",
        "-pkeyopt",
        "rsa_mgf1_md:sha256",
    )
    assert (said["key_algorithm"], len(key)) == ("AES-128", 16)
    (tmp_path / "zeros").write_bytes(bytes(16))
    mac = openssl(
        "mac",
        "-cipher",
        "AES-128-CBC",
        "-macopt",
        f"hexkey:{key.hex()}",
        "-in",
        str(tmp_path / "zeros"),
        "CMAC",
    )
    kcv = mac.decode().strip().lower()[:6]
    assert kcv == (demo.export / "kcv.txt").read_text().strip()
    assert kcv == demo.outcome("ATM-0001")["server_kcv"]


def test_the_token_is_for_that_terminal_and_holds_no_kcv(
    demo: DemoRun, token: tuple[str, str, str]
) -> None:
    """The token names terminal, EPP, nonce, usage and expiry, and never the check value."""
    said = payload_of(token)
    assert (said["terminal_no"], said["key_usage"]) == ("ATM-0001", "K1")
    assert {"request_id", "epp_fingerprint", "krd_nonce", "exp"} <= set(said)
    assert demo.outcome("ATM-0001")["kcv"] not in json.dumps(
        {name: value for name, value in said.items() if name != "encrypted_key"}
    )
