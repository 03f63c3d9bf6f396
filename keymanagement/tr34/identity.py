"""Who a token is from and for: issuer and serial number of a certificate, and who signs.

RFC 5652 section 10.2.4: IssuerAndSerialNumber is how TR-34 names the KDH and the KRD.
"""

from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from keymanagement.port import TermsRefused
from keymanagement.tr34.der import integer, sequence


class CmsSigner(Protocol):
    """Whoever signs CMS tokens: the KDH, or the authority above KDH and KRD."""

    @property
    def certificate_der(self) -> bytes:
        """The signer's certificate, DER."""
        ...

    def sign_pkcs1(self, message: bytes) -> bytes:
        """Sign by RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2), as TR-34 wants it."""
        ...


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """Encode a certificate's IssuerAndSerialNumber, with the issuer's very bytes.

    Raises:
        TermsRefused: if the issuer's name is not DER, so that it cannot be said the same way.
    """
    issuer = certificate.issuer.public_bytes()
    if issuer not in certificate.tbs_certificate_bytes:
        raise TermsRefused("the certificate's issuer is not in DER")
    return sequence(issuer, integer(certificate.serial_number))


def krd_key(certificate: x509.Certificate) -> RSAPublicKey:
    """The transport key of a KRD's certificate, once the certificate has that one purpose.

    A KRD's certificate is for key encipherment and nothing else (PCI PIN Annex A2 19-12): no
    extended key usage, no signature, no authority. A KDH's certificate never passes.

    Raises:
        TermsRefused: if it has another purpose, beside or instead, or its key is not RSA.
    """
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise TermsRefused("the KRD's certificate lacks its purpose") from error
    kinds = {type(one.value) for one in extensions}
    constraints = next(
        (e.value for e in extensions if isinstance(e.value, x509.BasicConstraints)), None
    )
    signs = (
        usage.digital_signature or usage.content_commitment or usage.key_cert_sign or usage.crl_sign
    )
    authority = constraints is not None and constraints.ca
    if not usage.key_encipherment or signs or authority or x509.ExtendedKeyUsage in kinds:
        raise TermsRefused("the KRD's certificate is for key encipherment and nothing else")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise TermsRefused("the KRD's key is not an RSA key")
    return key
