"""Turn this process into another program that ends when its parent ends.

Run as a script, `python withparent.py <parent pid> <program> <argument>...`, by
`engine.processes`; it uses the standard library only and replaces itself, so the process id stays.
It exists because the kernel's parent-death signal must be set by the child itself, and running
Python code between fork and exec in a parent with threads can deadlock.
"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CANNOT_RUN = 127  # the shell's exit status for a program that is not there


def main(arguments: list[str]) -> NoReturn:
    """Ask for SIGTERM at the parent's death (Linux; elsewhere nothing), then become the program.

    The program's new files are readable by their owner only.

    Args:
        arguments: The parent's process id, 0 for none; then the program and its arguments.
    """
    parent, command = int(arguments[0]), arguments[1:]
    if parent and sys.platform == "linux":
        # SIGTERM, not SIGKILL: the program may have children of its own to end.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            # The parent died before the call above: no signal will come.
            sys.exit(1)
    # What a child writes (databases, keys, logs) is for the account that runs it.
    os.umask(0o077)
    # Python ignores SIGPIPE, and what is ignored stays so across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- the very purpose; no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1:])
