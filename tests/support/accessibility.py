"""What axe-core (WCAG 2.2 AA and its best practices) and a narrow window find wrong with a page."""

from typing import Any, Final, get_args

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from axe_playwright_python.base import AXE_SCRIPT  # type: ignore[import-untyped]

from tests.support.browser import Colours, Window

_RULES: Final[dict[Colours, dict[str, Any]]] = {
    "dark": {"runOnly": ["color-contrast"]},
    "light": {},
}
"""In light colours every rule; of them all only the contrast is another one in dark colours."""


async def violations(opened: Window) -> list[str]:
    """Each violation of the page that is shown, with the first element it is about.

    The page is looked at in dark and in light colours, and stays in those that it had.
    """
    axe, said = _Loaded(), []
    dark = await opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for colours in get_args(Colours):
        await opened.page.emulate_media(color_scheme=colours)
        options = {"resultTypes": ["violations"], **_RULES[colours]}
        found = (await axe.run(opened.page, options=options)).response["violations"]
        said += [f"{colours}: {one['id']}: {one['nodes'][0]['html']}" for one in found]
    await opened.page.emulate_media(color_scheme="dark" if dark else "light")
    return [*said, "scrolls sideways"] if await opened.scrolls_sideways() else said


class _Loaded(Axe):  # type: ignore[misc]
    """Axe that is given to a document once: it is half a megabyte."""

    def __init__(self) -> None:
        super().__init__(f"if (!window.axe) {{ {AXE_SCRIPT} }}")
