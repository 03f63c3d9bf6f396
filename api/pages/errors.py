"""What a browser is shown where a program would get a problem document."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.pages.rendering import render
from api.problems import ApiProblem, document

_FOR_PROGRAMS: Final = ("/v1/", "/static/")
_TRY_AGAIN: Final = frozenset({429, 500, 503})


def answer(request: Request, problem: ApiProblem) -> Response:
    """Answer with a page what a browser navigated to, and with a problem document what called."""
    if not _navigated(request):
        return document(problem)
    page = render(
        request,
        "error.html",
        status=problem.status,
        code=problem.code,
        again=problem.status in _TRY_AGAIN,
    )
    if problem.retry_after is not None:
        page.headers["Retry-After"] = str(problem.retry_after)
    return page


def _navigated(request: Request) -> bool:
    # A browser names HTML first when it goes to an address, and never when a script calls.
    return not request.url.path.startswith(_FOR_PROGRAMS) and "text/html" in request.headers.get(
        "accept", ""
    )
