"""Which processes descend from one, and whether they are gone; from /proc."""

import time
from pathlib import Path


def children_of(pid: int) -> dict[int, str]:
    """Every descendant's process id with its command line."""
    found: dict[int, str] = {}
    waiting = [pid]
    parents = _parents()
    while waiting:
        parent = waiting.pop()
        for child in (one for one, above in parents.items() if above == parent):
            found[child] = _command(child)
            waiting.append(child)
    return found


def gone(children: dict[int, str], within: float = 20.0) -> bool:
    """Whether all of these have ended, after waiting up to `within` seconds."""
    deadline = time.monotonic() + within
    while any(_runs(pid, line) for pid, line in children.items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def running_with(text: str) -> list[str]:
    """The command lines of all processes that have a text in theirs."""
    own = Path("/proc")
    pids = [int(path.name) for path in own.iterdir() if path.name.isdigit()]
    return [line for line in map(_command, pids) if text in line]


def _parents() -> dict[int, int]:
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(path.name)] = int(fields[1])
    return parents


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _runs(pid: int, line: str) -> bool:
    # A zombie has no command line, and a process id that was given anew has another.
    return bool(line) and _command(pid) == line
