"""The enrolment page: where a one-time link leads a new administrator."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.authentication import Anyone
from api.pages.rendering import render

router = APIRouter(include_in_schema=False)


@router.get("/e")
async def enrolment_page(request: Request, _caller: Anyone) -> HTMLResponse:
    """Give the page that enrols a passkey; the link's token, a fragment, never reaches the server.

    The page names nobody as signed in: what is enrolled has nothing to do with a session.
    """
    return render(request, "enrolment.html")
