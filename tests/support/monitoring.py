"""The alert rules and the dashboard as data, and what a process exposes as names and labels."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
SCRAPES: Final = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "keyfill.json"
OPERATIONS: Final = ROOT / "docs" / "operations.md"
SCRAPED: Final = {"job", "instance"}
"""Labels that Prometheus itself puts to every sample."""

_CHILDREN: Final = ("expr", "lhs", "rhs", "args", "param", "vector_selector")
_VARIABLES: Final = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel of the dashboard that shows something."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [one for one in found if one["type"] != "row"]


def parsed(expression: str) -> Any:
    """The tree of an expression, with the dashboard's variables filled in.

    Raises:
        ValueError: if it is none.
    """
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return promql_parser.parse(expression)


def nodes(node: Any) -> Iterator[Any]:
    """A tree's nodes, from the top."""
    yield node
    for name in _CHILDREN:
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if one is not None:
                yield from nodes(one)


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of an expression: a metric's `name`, and `matchers` of its labels."""
    return (one for one in nodes(node) if isinstance(one, promql_parser.VectorSelector))


def groupings(node: Any) -> Iterator[tuple[set[str], set[str]]]:
    """The labels that each aggregation keeps, with the metrics that it is over."""
    for one in nodes(node):
        if isinstance(one, promql_parser.AggregateExpr) and one.modifier is not None:
            yield set(one.modifier.labels), {found.name for found in selectors(one)}


def meets(matcher: Any, value: str) -> bool:
    """Whether a label's value is one that a matcher asks for."""
    kind = str(matcher.op).rpartition(".")[2]
    if kind in ("Re", "NotRe"):
        return (re.fullmatch(matcher.value, value) is not None) is (kind == "Re")
    return (matcher.value == value) is (kind == "Equal")


def exposed(text: str) -> dict[str, set[str]]:
    """Every sample's name in an exposition, with the labels that it has."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def values(text: str) -> dict[tuple[str, str], set[str]]:
    """Every label's values in an exposition, by the sample's name and the label."""
    found: dict[tuple[str, str], set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault((sample.name, label), set()).add(value)
    return found


def sample(text: str, name: str, **labels: str) -> float | None:
    """The value of one sample, None if there is none."""
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            if one.name == name and one.labels == labels:
                return float(one.value)
    return None


def anchors(page: Path = OPERATIONS) -> set[str]:
    """The anchors of a page's headings, as its viewers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower(), flags=re.ASCII).replace(" ", "-")
        for heading in headings
    }
