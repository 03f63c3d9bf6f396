"""What carries a TMK: the EPP's certificate in a token's terms, and the key in it."""

import hmac
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ceremony.encoding import EncodingError, from_hex, sha256_hex
from ceremony.eppcertificate import EppKey
from ceremony.sm2 import Sm2PublicKey
from keymanagement.port import KeyBinding, TermsRefused, TokenTerms

KRD_NONCE_BYTES: Final = 16


def transport_of(binding: KeyBinding, terms: TokenTerms) -> tuple[x509.Certificate, EppKey]:
    """The EPP's certificate and key, once the terms agree with the binding and themselves.

    Raises:
        TermsRefused: if they do not, or the EPP's key is neither an RSA nor an SM2 key.
    """
    if (terms.request_id, terms.terminal_no) != (binding.request_id, binding.terminal_no):
        raise TermsRefused("the terms are another binding's")
    if not hmac.compare_digest(sha256_hex(terms.epp_certificate_der), terms.epp_fingerprint):
        raise TermsRefused("the fingerprint is another certificate's")
    if terms.expires_at <= terms.issued_at:
        raise TermsRefused("a token expires after its issue")
    try:
        nonce = from_hex(terms.krd_nonce)
        certificate = x509.load_der_x509_certificate(terms.epp_certificate_der)
        key = Sm2PublicKey.of(certificate) or certificate.public_key()
    except EncodingError as error:
        raise TermsRefused("the nonce is not lower-case hexadecimal") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TermsRefused("the EPP certificate cannot be read") from error
    if len(nonce) != KRD_NONCE_BYTES:
        raise TermsRefused("the EPP's nonce has 16 bytes")
    if not isinstance(key, EppKey):
        raise TermsRefused("the EPP's key is not an RSA key, nor an SM2 key")
    return certificate, key


def rsa_transport(binding: KeyBinding, terms: TokenTerms) -> tuple[x509.Certificate, RSAPublicKey]:
    """The same for a key manager that carries keys under RSA only.

    Raises:
        TermsRefused: as `transport_of`, and if the EPP's key is not an RSA key.
    """
    certificate, key = transport_of(binding, terms)
    if not isinstance(key, RSAPublicKey):
        raise TermsRefused("the EPP's key is not an RSA key")
    return certificate, key
