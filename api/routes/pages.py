"""Pages: what a phone's browser finds behind a QR code or an enrolment link.

The pages that do the work are not in this release; these say what the link is for.
"""

from typing import Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from api.authentication import Anyone
from api.responses import problems

router = APIRouter(tags=["pages"])

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
<p>Keyfill cannot do this in the browser yet: use the HTTP interface or the command line.</p>
</body>
</html>
"""

_APPLICATION: Final = _PAGE.format(
    title="Keyfill: apply for a key loading",
    text=(
        "This link comes from the QR code on a terminal. It leads the terminal's first "
        "administrator to the application for its key. Nothing has happened by opening it."
    ),
)
_ENROLMENT: Final = _PAGE.format(
    title="Keyfill: enrol a passkey",
    text=(
        "This is a one-time link with which an administrator enrols their own passkey. "
        "It has not been used by opening it."
    ),
)


@router.get("/a", response_class=HTMLResponse, summary="The application page", responses=problems())
async def application_page(_caller: Anyone) -> HTMLResponse:
    """Say where a scanned QR code leads; its token, a fragment, never reaches the server."""
    return HTMLResponse(_APPLICATION)


@router.get("/e", response_class=HTMLResponse, summary="The enrolment page", responses=problems())
async def enrolment_page(_caller: Anyone) -> HTMLResponse:
    """Say what an enrolment link is for; its token, a fragment, never reaches the server."""
    return HTMLResponse(_ENROLMENT)
