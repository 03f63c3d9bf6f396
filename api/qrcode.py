"""QR codes as pictures: a `data:` URI that a terminal's screen can show as it is."""

from base64 import b64encode
from functools import lru_cache
from io import BytesIO
from typing import Final

import qrcode
from qrcode.constants import ERROR_CORRECT_M
from qrcode.image.pure import PyPNGImage

KEPT: Final = 256
"""Pictures that are not drawn again: drawing one takes a core 40 ms, and a terminal that waits asks
for the same one until it is renewed. A few KiB each."""


@lru_cache(KEPT)
def png_data_uri(text: str) -> str:
    """Draw a QR code (ISO/IEC 18004, level M) as `data:image/png;base64,…`."""
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_M, box_size=8, border=4)
    code.add_data(text)
    picture = BytesIO()
    code.make_image(image_factory=PyPNGImage).save(picture)
    return f"data:image/png;base64,{b64encode(picture.getvalue()).decode('ascii')}"
