"""What axe-core (WCAG 2.2 AA and its best practices) and a narrow window find wrong with a page."""

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]

from tests.support.browser import Window


async def violations(opened: Window) -> list[str]:
    """Each violation of the page that is shown, with the first element it is about."""
    found = (await Axe().run(opened.page)).response["violations"]
    said = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]
    return [*said, "scrolls sideways"] if await opened.scrolls_sideways() else said
