"""What the pages load: files under their hashes, and nothing from anywhere else."""

import re

import pytest

from api.pages.assets import FOLDER, asset
from tests.support.apihouse import House


async def test_a_file_is_kept_under_its_hash_only(house: House) -> None:
    """Under the hash of its content a file may be kept for ever; under another it may not."""
    found = asset("keyfill.css")
    kept = await house.client.get(found.url)
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/css; charset=utf-8"
    assert kept.content == found.content
    for url in ("/static/keyfill.css", "/static/keyfill.css?v=0123456789abcdef"):
        other = await house.client.get(url)
        assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["nothing.js", "../rendering.py", "..%2frendering.py", "%2e%2e/x", "keyfill.css/"]
)
async def test_no_other_file_is_given_out(house: House, name: str) -> None:
    """What is no style sheet, script or picture of the pages is not there."""
    response = await house.client.get(f"/static/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_script_imports_by_hash() -> None:
    """Modules name each other with hashes, so that no two versions meet in one page."""
    scripts = [asset(path.name) for path in FOLDER.glob("*.js")]
    assert len(scripts) > 5
    imports = [
        (script.name, *found)
        for script in scripts
        for found in re.findall(r'from "([^"?]+)(?:\?v=([0-9a-f]+))?"', script.content.decode())
    ]
    assert len(imports) > 20
    for script, path, version in imports:
        assert version == asset(path.removeprefix("/static/")).version, (script, path)


def test_the_scripts_load_and_write_nothing_foreign() -> None:
    """No script names another host, builds markup, or makes code from text."""
    for path in FOLDER.glob("*.js"):
        code = re.sub(r"(?m)^\s*(//|\*|/\*).*$", "", path.read_text())
        for forbidden in (
            "http:",
            "https:",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            'setAttribute("style"',
            "console.",
        ):
            assert forbidden not in code, (path.name, forbidden)


def test_the_style_sheet_needs_nobody_else() -> None:
    """No import, no font, no picture from anywhere."""
    text = (FOLDER / "keyfill.css").read_text()
    assert "url(" not in text and "@import" not in text and "@font-face" not in text
