"""The roles of people with a session."""

from typing import Final, Literal, get_args

RoleName = Literal["administrator", "operator", "auditor"]
ROLE_NAMES: Final[tuple[RoleName, ...]] = get_args(RoleName)

SEES_OPERATIONS: Final = frozenset({"operator", "auditor"})
"""The roles that see loading requests and their timelines, and need no credential for it."""
