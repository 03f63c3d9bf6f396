"""QR codes at the API's edge: the one that a terminal shows now, and the one that was scanned."""

from api.parts import Parts
from api.problems import ApplicationRefused, Gone
from api.qrcode import png_data_uri
from api.wire import QrCode
from ceremony import qr
from ceremony.reasons import Reason
from ceremony.stages import Stage
from records.tables.loading_request import LoadingRequestRow


def shown_code(parts: Parts, row: LoadingRequestRow) -> QrCode | None:
    """The code for the terminal to show now; None once an application was accepted."""
    if row.stage is not Stage.AWAITING_APPLICATION:
        return None
    contents = qr.current(row.request_id, row.terminal_no, opened_at=row.opened_at, now=parts.now())
    text = qr.qr_text(parts.trust.origin, parts.qr.token(contents))
    return QrCode(text=text, png=png_data_uri(text), expires_at=contents.expires_at)


def scanned_code(parts: Parts, text: str) -> tuple[str, qr.QrContents]:
    """The token of a scanned text and what it seals; its expiry is the caller's to judge.

    Raises:
        ApplicationRefused: if it is no code of ours.
    """
    try:
        token = qr.token_of(text, parts.trust.origin)
        return token, parts.qr.open(token)
    except qr.QrError as error:
        raise ApplicationRefused(error.reason) from None


def live_code(parts: Parts, text: str) -> tuple[str, qr.QrContents]:
    """The same of a code that has not expired.

    Raises:
        ApplicationRefused: if it is no code of ours.
        Gone: `qr-expired`: scan the one that the terminal shows now.
    """
    token, contents = scanned_code(parts, text)
    if contents.expires_at <= parts.now():
        raise Gone(Reason.QR_EXPIRED)
    return token, contents
