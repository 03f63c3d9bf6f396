"""Files that survive a power cut: replaced whole, synced, readable by their owner only."""

import os
from pathlib import Path


def replace(path: Path, data: bytes) -> None:
    """Put a whole file in place of an old one: after a crash there is the one or the other.

    The file has mode 0600. Its folder must exist.

    Raises:
        OSError: if the file or its folder cannot be written.
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    # The name is part of the folder, and is durable only with it.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
