"""Pinning a second KDH at a terminal, and dropping the first: in the EPP and in the profile.

Two files change one after the other. Whatever a power cut leaves in between accepts no KDH that was
not pinned on purpose, and the same step again finishes it.
"""

import hmac
from pathlib import Path

from terminal.epp import Epp
from terminal.hosts import thumbprint
from terminal.profile import TerminalProfile


class PinRefused(Exception):
    """The KDH is not pinned; the message says why."""


def pin_beside(folder: Path, epp: Epp, certificate_der: bytes, expected: str) -> None:
    """Accept a second KDH beside the first.

    `expected` is its thumbprint (SHA-256 of the certificate, base64url) as whoever runs the KDH
    told it by another way than that by which the certificate came.

    Raises:
        PinRefused: if the thumbprint is another's, or the profile pins another second KDH.
        EppError: INVALID_CERT_STATE if the EPP takes no second KDH, or not this one.
        ProfileError, EppStoreError: if the folder cannot be used.
    """
    pin, profile = thumbprint(certificate_der), TerminalProfile.read(folder)
    if not hmac.compare_digest(pin.encode(), expected.strip().encode()):
        raise PinRefused(f"the certificate's thumbprint is {pin}")
    if profile.kdh_next_thumbprint not in (None, pin):
        raise PinRefused("another second KDH is pinned")
    epp.load_certificate(certificate_der)
    profile.model_copy(update={"kdh_next_thumbprint": pin}).write(folder)


def drop_former(folder: Path, epp: Epp) -> None:
    """Accept the second KDH only.

    Raises:
        PinRefused: if no second KDH is pinned.
        EppError: INVALID_CERT_STATE if the EPP has none.
        ProfileError, EppStoreError: if the folder cannot be used.
    """
    profile = TerminalProfile.read(folder)
    following = profile.kdh_next_thumbprint
    if following is None:
        raise PinRefused("no second KDH is pinned")
    if [thumbprint(one) for one in epp.host_certificates()] != [following]:
        epp.replace_certificate()
    after = {"kdh_thumbprint": following, "kdh_next_thumbprint": None}
    profile.model_copy(update=after).write(folder)
