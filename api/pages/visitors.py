"""Who looks at a page: someone with a session or not, and where to go in between.

A page never fails for an outdated cookie, as a call does: it asks to sign in.
"""

import re
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Depends, Request

from api.authentication import Caller, anyone, session_by_cookie
from api.parts import PartsDep
from api.signedin import SignedIn

HOME: Final = "/"
SIGN_IN: Final = "/s"
_OWN_PATH: Final = re.compile(
    r"/(?:[A-Za-z0-9_~.-][A-Za-z0-9_~./-]*)?(?:\?[A-Za-z0-9_~.,:/%&=+-]*)?\Z"
)
_MAX_PATH_CHARS: Final = 500


class SignInFirst(Exception):
    """The page is for people with a session; `location` is the sign-in page, and back."""

    def __init__(self, wanted: str) -> None:
        """Say which page was wanted: an own path."""
        super().__init__("sign-in-first")
        self.location = f"{SIGN_IN}?{urlencode({'next': wanted})}"


def own_path(text: str | None) -> str:
    """A path on this site as it is, or the start page for anything else (RFC 3986 section 4.2)."""
    if text is None or len(text) > _MAX_PATH_CHARS or not _OWN_PATH.match(text):
        return HOME
    return text


async def _visitor(
    request: Request, caller: Annotated[Caller, Depends(anyone)], parts: PartsDep
) -> SignedIn | None:
    del caller
    return await session_by_cookie(request, parts)


async def _signed_in_visitor(
    request: Request, visitor: Annotated[SignedIn | None, Depends(_visitor)]
) -> SignedIn:
    if visitor is None:
        query = f"?{request.url.query}" if request.url.query else ""
        raise SignInFirst(own_path(request.url.path + query))
    return visitor


Visitor = Annotated[SignedIn | None, Depends(_visitor)]
"""Whoever looks, if they have a session."""
SignedInVisitor = Annotated[SignedIn, Depends(_signed_in_visitor)]
"""Someone with a session; anyone else is led to the sign-in page."""
