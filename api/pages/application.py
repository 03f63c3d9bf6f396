"""The application page: where the QR code of a terminal leads its first administrator."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.pages.rendering import render
from api.pages.visitors import Visitor

router = APIRouter(include_in_schema=False)


@router.get("/a")
async def application_page(request: Request, visitor: Visitor) -> HTMLResponse:
    """Give the page that applies; the QR code's token, a fragment, never reaches the server."""
    return render(request, "application.html", signed_in=visitor)
