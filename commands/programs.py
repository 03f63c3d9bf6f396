"""How this project's own programs are started, installed or from the source tree."""

import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
"""Where the packages are: the source tree, or the environment's site-packages."""

# -P: what lies in the working directory must not come before our own modules.
KEYFILL: Final = (sys.executable, "-P", "-m", "cli")
TERMINAL: Final = (sys.executable, "-P", "-m", "terminal.command")


def environment() -> dict[str, str]:
    """This process's environment, in which our packages are found."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
