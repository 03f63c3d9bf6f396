"""The token format oaep-jws: its exact form, and that others than Keyfill can check and open it."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from keymanagement.kdh import KdhIdentity
from keymanagement.port import KeyAlgorithm, KeyBinding, KeyToken
from keymanagement.software import SoftwareKeyManager
from tests.support.certificates import sample_epp
from tests.support.keytokens import NONCE, NOW, terms_for

BITS = {
    KeyAlgorithm.TDES: 2048,
    KeyAlgorithm.AES_128: 2048,
    KeyAlgorithm.AES_192: 3072,
    KeyAlgorithm.AES_256: 4096,
}
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl command is the second implementation"
)


def made(
    manager: SoftwareKeyManager, binding: KeyBinding, algorithm: KeyAlgorithm
) -> tuple[KeyToken, str]:
    """A token of a new key, and the key's KCV."""
    created = manager.create(algorithm, binding)
    terms = terms_for(
        sample_epp("strength", BITS[algorithm]),
        terminal_no=binding.terminal_no,
        request_id=binding.request_id,
    )
    token = manager.make_token(created.block, algorithm, binding, terms, "oaep-jws")
    return token, created.kcv


def unpadded(text: str) -> bytes:
    """Decode base64url with nothing of ours."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def openssl(*arguments: str | Path) -> str:
    """Run openssl and return what it prints."""
    done = subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_the_form_is_the_documented_one(
    manager: SoftwareKeyManager, binding: KeyBinding, kdh: KdhIdentity
) -> None:
    """Header and payload hold the documented members and nothing else, least of all a KCV."""
    token, kcv = made(manager, binding, KeyAlgorithm.AES_128)
    header, payload, _ = token.value.decode("ascii").split(".")
    assert json.loads(unpadded(header)) == {
        "alg": "PS256",
        "typ": "keyfill.oaep-jws+jws",
        "kid": kdh.thumbprint,
        "x5c": [base64.b64encode(kdh.certificate_der).decode()],
    }
    contents = json.loads(unpadded(payload))
    assert len(unpadded(contents.pop("encrypted_key"))) == 256
    assert contents == {
        "request_id": binding.request_id,
        "terminal_no": binding.terminal_no,
        "epp_fingerprint": sample_epp("strength", 2048).fingerprint,
        "krd_nonce": NONCE,
        "key_usage": "K1",
        "key_algorithm": "AES-128",
        "iat": NOW,
        "exp": NOW + 86_400,
        "key_encryption": "RSA-OAEP-256",
    }
    assert kcv not in json.dumps(contents)


def test_two_tokens_of_one_key_differ(manager: SoftwareKeyManager, binding: KeyBinding) -> None:
    """OAEP and PSS are randomised: equal bytes come from the journal, never from luck."""
    block = manager.create(KeyAlgorithm.AES_128, binding).block
    terms = terms_for(
        sample_epp("strength", 2048), terminal_no=binding.terminal_no, request_id=binding.request_id
    )
    tokens = {
        manager.make_token(block, KeyAlgorithm.AES_128, binding, terms, "oaep-jws").value
        for _ in range(5)
    }
    assert len(tokens) == 5


@needs_openssl
@pytest.mark.parametrize("algorithm", list(BITS))
def test_openssl_alone_verifies_and_opens_a_token(
    algorithm: KeyAlgorithm, manager: SoftwareKeyManager, binding: KeyBinding, tmp_path: Path
) -> None:
    """The openssl command checks the signature, opens the key and gets the host's KCV."""
    token, kcv = made(manager, binding, algorithm)
    signed, _, signature = token.value.decode("ascii").rpartition(".")
    header, payload = (json.loads(unpadded(part)) for part in signed.split("."))

    files = {name: tmp_path / name for name in ("signed", "signature", "kdh", "wrapped", "epp")}
    files["signed"].write_text(signed)
    files["signature"].write_bytes(unpadded(signature))
    files["wrapped"].write_bytes(unpadded(payload["encrypted_key"]))
    certificate = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    files["kdh"].write_bytes(
        certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    files["epp"].write_bytes(
        sample_epp("strength", BITS[algorithm]).private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )

    pss = ("-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32")
    verified = openssl(
        *("dgst", "-sha256", *pss, "-verify", files["kdh"]),
        *("-signature", files["signature"], files["signed"]),
    )
    assert "Verified OK" in verified

    clear = tmp_path / "clear"
    openssl(
        *("pkeyutl", "-decrypt", "-inkey", files["epp"], "-in", files["wrapped"], "-out", clear),
        *("-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"),
        *("-pkeyopt", "rsa_mgf1_md:sha256"),
    )
    assert openssl_kcv(algorithm, clear.read_bytes(), tmp_path) == kcv


def openssl_kcv(algorithm: KeyAlgorithm, key: bytes, folder: Path) -> str:
    """The KCV of a key by the openssl command."""
    zeros = folder / "zeros"
    if algorithm is KeyAlgorithm.TDES:
        zeros.write_bytes(bytes(8))
        out = folder / "block"
        openssl("enc", "-des-ede3", "-nopad", "-K", key.hex(), "-in", zeros, "-out", out)
        return out.read_bytes()[:3].hex()
    zeros.write_bytes(bytes(16))
    cipher = f"AES-{8 * len(key)}-CBC"
    printed = openssl(
        *("mac", "-cipher", cipher, "-macopt", f"hexkey:{key.hex()}", "-in", zeros, "CMAC")
    )
    found = re.search(r"[0-9A-F]{32}", printed)
    assert found is not None
    return found.group()[:6].lower()
