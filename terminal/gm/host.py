"""The KDH's SM2 certificate as an EPP sees it: pinned by hand, for one purpose, valid now."""

from datetime import UTC, datetime

from cryptography import x509

from terminal.gm import sm2
from terminal.gm.refusal import GmRefused, Rule
from terminal.tr34.certificates import UNREADABLE, HostProfile
from terminal.tr34.der import NotDer


def host_point(certificate: x509.Certificate) -> bytes:
    """The SM2 key of a certificate (x and y), to see who signed; it may sign nothing by that.

    Raises:
        GmRefused: HOST_PURPOSE if it is not for an SM2 key.
    """
    try:
        return sm2.certified_point(certificate)
    except (NotDer, *UNREADABLE):
        raise GmRefused(Rule.HOST_PURPOSE) from None


def require_host(certificate: x509.Certificate, *, now: int) -> None:
    """Pass only a KDH's certificate that is valid at `now` (Unix seconds).

    Raises:
        GmRefused: HOST_PURPOSE or HOST_EXPIRED.
    """
    try:
        right = HostProfile().fits(certificate)
    except UNREADABLE:
        raise GmRefused(Rule.HOST_PURPOSE) from None
    if not right:
        raise GmRefused(Rule.HOST_PURPOSE)
    moment = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise GmRefused(Rule.HOST_EXPIRED)
