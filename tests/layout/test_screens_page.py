"""docs/screens.md and its pictures."""

import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
MOST_BYTES = 40_000


def test_every_picture_is_shown_and_small() -> None:
    """The page shows each picture that is there, each with words, and none is large."""
    shown = re.findall(
        r"!\[([^\]]+)\]\(screens/([a-z-]+\.png)\)", (DOCS / "screens.md").read_text()
    )
    pictures = sorted((DOCS / "screens").iterdir())
    assert [one.name for one in pictures] == sorted(name for _, name in shown)
    for picture in pictures:
        assert picture.stat().st_size <= MOST_BYTES, picture.name
        with Image.open(picture) as opened:
            assert opened.format == "PNG"
