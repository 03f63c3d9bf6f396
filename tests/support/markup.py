"""What a page's markup must be: well-formed, nothing inline, every reference kept."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

VOID: Final = frozenset({"br", "hr", "img", "input", "link", "meta", "path", "rect", "circle"})
_REFERRING: Final = ("for", "aria-describedby", "aria-labelledby", "aria-controls")


@dataclass
class Markup(HTMLParser):
    """A parsed page; `faults` says what is wrong with it."""

    text: str
    faults: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the page."""
        super().__init__(convert_charrefs=True)
        self.feed(self.text)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]
        self.faults += [f"id {one} twice" for one in set(self.ids) if self.ids.count(one) > 1]
        self.faults += [f"{one} is no id" for one in self.references if one not in self.ids]
        if not self.text.startswith("<!DOCTYPE html>"):
            self.faults.append("no doctype at the very start")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See an element open."""
        named = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if len(named) != len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.faults += [
            f"<{tag} {name}>" for name in named if name == "style" or name.startswith("on")
        ]
        if tag == "style" or (tag == "script" and not self._quiet_script(named)):
            self.faults.append(f"inline <{tag}>")
        if named.get("id"):
            self.ids.append(str(named["id"]))
        for name in _REFERRING:
            self.references += (named.get(name) or "").split()
        for name in ("src", "href", "action"):
            if named.get(name):
                self.sources.append(str(named[name]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See an element that is open and closed at once, as in SVG."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """See an element close."""
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> where {self.open[-1:]} is open")
            return
        self.open.pop()

    def _quiet_script(self, named: dict[str, str | None]) -> bool:
        return "src" in named or named.get("type") == "application/json"
