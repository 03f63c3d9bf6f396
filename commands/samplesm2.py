"""Development: the SM2 side of a home folder, where this machine has SM2; nothing where it has not.

A second KDH identity for the key worker, and a second root of a sample EPP maker, pinned beside the
RSA one.
"""

from commands.homefolder import HomeError, HomeFolder
from holdings import DEVELOPMENT_MARK, SM2_HELD
from terminal.durable import replace
from terminal.gm.factory import Sm2Root, make_sm2_root


def make_sm2_epp_root(home: HomeFolder, *, now: int) -> tuple[str, ...]:
    """Make the sample maker's SM2 root; returns what the trust file pins (PEM), if anything.

    `now` is Unix time in seconds.
    """
    from keymanagement.gm.sm2 import available

    if not available():
        return ()
    root = make_sm2_root(now=now)
    home.sm2_epp_root.mkdir(mode=0o700)
    replace(home.sm2_epp_root / "key.pem", root.key_pem)
    replace(home.sm2_epp_root / "certificate.pem", root.certificate_pem)
    return (root.certificate_pem.decode(),)


def make_sm2_kdh(home: HomeFolder, *, now: int) -> None:
    """Make the KDH's SM2 identity, held by the key worker; `now` is Unix time in seconds."""
    from keymanagement.gm.identity import make_development_gm_kdh
    from keymanagement.gm.sm2 import available

    if not available():
        return
    kdh = make_development_gm_kdh(now=now)
    replace(home.sm2_kdh_certificate, kdh.certificate_pem)
    for name, pem in zip(SM2_HELD, (kdh.key_pem, kdh.certificate_pem), strict=True):
        text = DEVELOPMENT_MARK + pem.decode()
        replace(home.secrets("keys") / f"keyfill_{name}", text.encode())


def read_sm2_root(home: HomeFolder) -> Sm2Root:
    """Read the sample maker's SM2 root.

    Raises:
        HomeError: if there is none.
    """
    try:
        return Sm2Root.from_pem(
            (home.sm2_epp_root / "key.pem").read_bytes(),
            (home.sm2_epp_root / "certificate.pem").read_bytes(),
        )
    except (OSError, ValueError):
        raise HomeError(
            f"There is no sample SM2 root in {home.sm2_epp_root}: `keyfill init` makes one where "
            "gmssl-pyx is installed."
        ) from None
