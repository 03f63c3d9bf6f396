"""Certificates as a KRD sees them: their names in DER, a KDH's purpose, revocation lists."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from terminal.keytoken import KDH_PURPOSE
from terminal.tr34.der import BIT_STRING, CONTEXT_0, INTEGER, SEQUENCE, NotDer, whole, wrapped
from terminal.tr34.refusal import Rule, Tr34Refused

LEAST_KDH_BITS: Final = 3072
# the library reads late: any look at a certificate or a list can find it malformed
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


def issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """IssuerAndSerialNumber (RFC 5652 section 10.2.4) of a certificate, cut out of its own bytes.

    Raises:
        NotDer: if the certificate is not DER.
    """
    certified = whole(certificate.public_bytes(Encoding.DER)).members().take(SEQUENCE).members()
    certified.take_if(CONTEXT_0)
    serial = certified.take(INTEGER)
    certified.take(SEQUENCE)
    return wrapped(SEQUENCE, certified.take(SEQUENCE).raw, serial.raw)


@dataclass(frozen=True, slots=True)
class HostProfile:
    """What makes a certificate a KDH's, so that no KRD of the same root ever passes for one.

    The one purpose is an extended key usage (`purpose`), or, where a vendor's authority sets
    none, a word in the common names of subject and issuer (`name_mark`), as clover-tr34-host
    advises. PCI PIN Annex A2 19-12 asks for single-purpose certificates. `least_bits` is the
    least length of its RSA key.
    """

    purpose: x509.ObjectIdentifier | None = KDH_PURPOSE
    name_mark: str | None = None
    least_bits: int = LEAST_KDH_BITS

    def require(self, certificate: x509.Certificate, *, now: int) -> None:
        """Pass only a KDH's certificate that is valid at `now` (Unix seconds).

        Raises:
            Tr34Refused: HOST_PURPOSE or HOST_EXPIRED.
        """
        try:
            key = certificate.public_key()
            long_enough = isinstance(key, RSAPublicKey) and key.key_size >= self.least_bits
            right = long_enough and self.fits(certificate)
        except UNREADABLE:
            raise Tr34Refused(Rule.HOST_PURPOSE) from None
        if not right:
            raise Tr34Refused(Rule.HOST_PURPOSE)
        require_valid(certificate, now=now)

    def fits(self, certificate: x509.Certificate) -> bool:
        """Tell whether a certificate signs tokens and is marked as a KDH's, whatever its key.

        Raises one of `UNREADABLE` if its extensions cannot be read.
        """
        return _signs_only(certificate) and self._is_marked(certificate)

    def _is_marked(self, certificate: x509.Certificate) -> bool:
        purposes = _purposes(certificate)
        if self.purpose is not None:
            return purposes == [self.purpose]
        mark = self.name_mark
        names = (certificate.subject, certificate.issuer)
        return mark is not None and purposes is None and all(mark in _words(one) for one in names)


def require_valid(certificate: x509.Certificate, *, now: int) -> None:
    """Pass only a certificate within its validity.

    Raises:
        Tr34Refused: HOST_EXPIRED.
    """
    moment = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise Tr34Refused(Rule.HOST_EXPIRED)


def require_issued(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Pass only a certificate that the pinned authority issued.

    Raises:
        Tr34Refused: HOST_ISSUER.
    """
    try:
        _require_whole_signature(certificate.public_bytes(Encoding.DER))
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, *UNREADABLE):
        raise Tr34Refused(Rule.HOST_ISSUER) from None


def require_unrevoked(
    crl_der: bytes, authority: x509.Certificate, certificate: x509.Certificate, *, now: int
) -> datetime:
    """Check the authority's list, that it is in force, and that a certificate is not on it.

    Returns:
        When the list was made, to tell a newer from an older one.

    Raises:
        Tr34Refused: CRL_INVALID, CRL_STALE or HOST_REVOKED.
    """
    crl = _read_crl(crl_der, authority)
    until = crl.next_update_utc
    if until is None or not crl.last_update_utc <= datetime.fromtimestamp(now, UTC) <= until:
        raise Tr34Refused(Rule.CRL_STALE)
    if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
        raise Tr34Refused(Rule.HOST_REVOKED)
    return crl.last_update_utc


def _read_crl(crl_der: bytes, authority: x509.Certificate) -> x509.CertificateRevocationList:
    try:
        _require_whole_signature(crl_der)
        crl = x509.load_der_x509_crl(crl_der)
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        genuine = crl.issuer == authority.subject and crl.is_signature_valid(
            # the library refuses the types of key that sign nothing
            authority.public_key()  # type: ignore[arg-type]
        )
        # an extension that is not understood may narrow what the list is about
        partial = any(one.critical for one in crl.extensions)
        genuine = genuine and usage.crl_sign and not partial
    except UNREADABLE:
        raise Tr34Refused(Rule.CRL_INVALID) from None
    if not genuine:
        raise Tr34Refused(Rule.CRL_INVALID)
    return crl


def _require_whole_signature(signed: bytes) -> None:
    """Refuse unused bits in the signature of a certificate or list, which the library ignores.

    They are outside of what is signed, and would give one certificate several encodings.
    """
    members = whole(signed).members()
    members.take(SEQUENCE)
    members.take(SEQUENCE)
    signature = members.take(BIT_STRING).value
    members.end()
    if signature[:1] != b"\x00":
        raise NotDer("a signature is whole octets")


def _signs_only(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    others = (
        usage.content_commitment,
        usage.key_encipherment,
        usage.data_encipherment,
        usage.key_agreement,
        usage.key_cert_sign,
        usage.crl_sign,
    )
    return usage.digital_signature and not any(others) and not constraints.ca


def _purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier] | None:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return None


def _words(name: x509.Name) -> list[str]:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [word for one in common for word in str(one.value).split()]
