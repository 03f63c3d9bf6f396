"""The QR code as a picture that stays sharp at any size: SVG, dark on white."""

from typing import Final

import qrcode
from markupsafe import Markup
from qrcode.constants import ERROR_CORRECT_M

QUIET_ZONE: Final = 4
"""Light modules around the code (ISO/IEC 18004 section 6.3.8)."""


def qr_svg(text: str) -> Markup:
    """Draw a QR code (ISO/IEC 18004, level M) with its quiet zone; one module is one unit.

    The SVG stands in the page itself: a picture fetched afterwards could be of a later moment.
    """
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=0)
    code.add_data(text)
    code.make(fit=True)
    rows = code.get_matrix()
    size = len(rows) + 2 * QUIET_ZONE
    dark = "".join(
        f"M{x + QUIET_ZONE} {y + QUIET_ZONE}h1v1h-1z"
        for y, row in enumerate(rows)
        for x, is_dark in enumerate(row)
        if is_dark
    )
    return Markup(
        '<svg viewBox="0 0 {size} {size}" shape-rendering="crispEdges" aria-hidden="true">'
        '<rect width="{size}" height="{size}" fill="#fff"/><path d="{dark}" fill="#000"/></svg>'
    ).format(size=size, dark=dark)
