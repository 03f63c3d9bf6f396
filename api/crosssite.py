"""Calls from other sites: what a cookie authenticates, only a page of this origin may ask for.

A browser sends the session cookie by itself, so a call that changes something is accepted with it
only where the browser says that one of our pages made it (Fetch Metadata, W3C; where the header
is missing, `Origin` of RFC 6454). `SameSite=Strict` alone still lets sibling subdomains through.
A call with a bearer token needs none of this: no other site can make a browser send one.
"""

from typing import Final

from starlette.requests import Request

from api.problems import Refused

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CODE: Final = "cross-site"


def check_same_origin(request: Request, origin: str) -> None:
    """Let a reading call pass, and a changing one only if a page of `origin` made it.

    Raises:
        Refused: `cross-site`.
    """
    if request.method in SAFE_METHODS:
        return
    site, named = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # A form under `Referrer-Policy: no-referrer` names its origin "null" even to itself.
    opaque = named is None or (named == "null" and site is not None)
    if not opaque and named != origin:
        raise Refused(CODE)
    if site != "same-origin" and (site is not None or named != origin):
        raise Refused(CODE)
