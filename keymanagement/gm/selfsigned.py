"""A self-signed SM2 certificate of the KDH's profile, for development.

`cryptography` builds no certificate with an SM2 key. It builds one with a P-256 key, of which every
field that names the other curve has the same length; those are exchanged, and SM2 signs the rest.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from ceremony.sm2 import SM2_WITH_SM3, Sm2PublicKey
from keymanagement.gm import sm2
from keymanagement.kdh import KDH_PURPOSE, SIGNS_ONLY
from keymanagement.tr34.der import bits, oid, sequence

_ECDSA: Final = sequence(oid("1.2.840.10045.4.3.2"))
_SM2_WITH_SM3: Final = sequence(oid(SM2_WITH_SM3.dotted_string))


def self_signed(
    common_name: str, private: bytes, public: Sm2PublicKey, *, now: int, days: int
) -> x509.Certificate:
    """Make the certificate, valid from `now` (Unix seconds) for `days`.

    Raises:
        Sm2Missing: if there is no SM2 here.
    """
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    start = datetime.fromtimestamp(now, UTC)
    stand_in = ec.generate_private_key(ec.SECP256R1())
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(stand_in.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(SIGNS_ONLY, critical=True)
        .add_extension(x509.ExtendedKeyUsage([KDH_PURPOSE]), critical=True)
        .sign(stand_in, SHA256())
    )
    spki = stand_in.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signed = built.tbs_certificate_bytes.replace(spki, public.spki, 1).replace(
        _ECDSA, _SM2_WITH_SM3, 1
    )
    signature = bits(sm2.sign(private, public, signed))
    return x509.load_der_x509_certificate(sequence(signed, _SM2_WITH_SM3, signature))
