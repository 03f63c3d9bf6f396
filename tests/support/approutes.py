"""The routes of an application, those of included routers too, and what they depend on."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api import authentication
from api.pages import visitors

_BY_SESSION: frozenset[Callable[..., Any]] = frozenset(
    {authentication._maybe_signed_in, authentication._viewer, visitors._visitor}
)


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of ours."""

    def below(one: Any) -> Iterator[APIRoute]:
        if isinstance(one, APIRoute):
            yield one
        else:
            for inner in getattr(getattr(one, "original_router", one), "routes", ()):
                yield from below(inner)

    for route in app.routes:
        yield from below(route)


def dependencies_of(route: APIRoute) -> set[Any]:
    """Everything that a route depends on, however far down."""

    def calls(dependant: Dependant) -> set[Any]:
        found: set[Any] = {dependant.call}
        for one in dependant.dependencies:
            found |= calls(one)
        return found

    return calls(route.dependant)


def takes_session(route: APIRoute) -> bool:
    """Whether a session, and so its cookie, lets someone use this route."""
    return bool(dependencies_of(route) & _BY_SESSION)
