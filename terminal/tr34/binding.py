"""Which KDH a KRD is bound to, and what a token must show to be from that one.

ASC X9 TR 34-2019: a KRD takes keys from one KDH only. It came to know it by a CT-KDH (or was
pinned to it by hand), and the KDH's authority may revoke it at any time.
"""

from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from terminal.tr34.certificates import (
    HostProfile,
    issuer_and_serial,
    require_issued,
    require_unrevoked,
)
from terminal.tr34.refusal import Rule, Tr34Refused
from terminal.tr34.signeddata import Signed


@dataclass(frozen=True, slots=True)
class Krd:
    """The key receiving device itself: its certificate and private key."""

    certificate: x509.Certificate
    private_key: RSAPrivateKey = field(repr=False)

    @property
    def name(self) -> bytes:
        """Its IssuerAndSerialNumber, encoded."""
        return issuer_and_serial(self.certificate)


@dataclass(frozen=True, slots=True)
class Anchors:
    """What was put into the KRD at its maker's or on site, and no token changes.

    `authority` issues KDH certificates and their revocation list. Without one, the KDH is pinned
    by hand: there is no list then, and revoking it means pinning another. `overseer` signs the
    UBT-CA and RBT-CA tokens that this KRD obeys, if it obeys any.
    """

    authority: x509.Certificate | None
    overseer: x509.Certificate | None = None
    profile: HostProfile = field(default_factory=HostProfile)


@dataclass(frozen=True, slots=True)
class Binding:
    """The KDH that a KRD is bound to, and what it remembers of it.

    `crl_der` is the newest revocation list seen, `last_signed` when the last one-pass token that
    was taken was signed (Unix seconds).
    """

    certificate: x509.Certificate
    crl_der: bytes | None = field(default=None, repr=False)
    last_signed: int = 0

    def verified(self, signed: Signed, anchors: Anchors, *, now: int) -> "Binding":
        """Check that the bound KDH signed and may still sign; `now` is Unix seconds.

        PCI PIN A1 15-3: the credentials are validated immediately before the key is taken, not
        only when the KDH was bound.

        Returns:
            The binding with the revocation list that counts from now on.

        Raises:
            Tr34Refused: SIGNER, SIGNATURE, CONTENT_KIND, DIGEST; HOST_PURPOSE, HOST_EXPIRED,
                HOST_ISSUER, HOST_REVOKED, CRL_MISSING, CRL_INVALID, CRL_STALE.
            NotDer: if a signed attribute is malformed.
        """
        signed.require_signed_by(self.certificate)
        anchors.profile.require(self.certificate, now=now)
        return self.with_crl(signed.crls, anchors, now=now)

    def with_crl(self, offered: tuple[bytes, ...], anchors: Anchors, *, now: int) -> "Binding":
        """Check the KDH against the list that a token brought, or else against the last one.

        Raises:
            Tr34Refused: HOST_ISSUER, HOST_REVOKED, CRL_MISSING, CRL_INVALID or CRL_STALE.
        """
        authority = anchors.authority
        if authority is None:
            if offered:
                # nobody was pinned whose list it could be
                raise Tr34Refused(Rule.CRL_INVALID)
            return self
        require_issued(self.certificate, authority)
        crl_der = offered[0] if offered else self.crl_der
        if crl_der is None:
            raise Tr34Refused(Rule.CRL_MISSING)
        made = require_unrevoked(crl_der, authority, self.certificate, now=now)
        if self.crl_der is not None and made < x509.load_der_x509_crl(self.crl_der).last_update_utc:
            # an older list would hide what the newer one revokes
            raise Tr34Refused(Rule.CRL_STALE)
        return replace(self, crl_der=crl_der)
