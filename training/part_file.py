"""Files while they are being written: held by their process, and cleared up once it is gone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that another process has open
    fcntl = None

PATTERN = ".styo_*.part"


class PartFile:
    """A file of ``folder`` under a name of its own, open for writing until it is moved to where it belongs."""

    def __init__(self, folder: Path):
        self._path, self.file = _create(folder)

    def replace(self, path: Path):
        """Move it to ``path``, over what is there."""
        self._before_moving()
        os.replace(self._path, path)

    def move_to_first_free(self, paths: Iterable[Path]) -> Path:
        """Move it to the first of ``paths``, all of its own folder, that nothing has; returns that one."""
        self._before_moving()
        return move_to_first_free(self._path, paths)

    def close(self):
        """Drop what was not moved."""
        self.file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _before_moving(self):
        self.file.flush()
        os.fsync(self.file.fileno())
        if fcntl is None:
            self.file.close()


def move_to_first_free(source: Path, paths: Iterable[Path]) -> Path:
    """Move ``source`` to the first of ``paths``, all of its own folder, that nothing has; returns that one.

    Raises FileExistsError if every one is taken, FileNotFoundError if ``source`` is gone.
    """
    for path in paths:
        with contextlib.suppress(FileExistsError):
            _move_exclusively(source, path)
            return path
    raise FileExistsError(f"Every name is taken in {source.parent}.")


def remove_leftovers(folder: Path):
    """Remove the part files in ``folder`` that no living process holds."""
    for path in folder.glob(PATTERN):
        with contextlib.suppress(OSError):
            if fcntl is None:
                path.unlink()
                continue
            with path.open("r+b") as file:
                if _hold(file):
                    path.unlink()


def _create(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / PATTERN.replace("*", secrets.token_hex(8))
        file = path.open("xb")
        # Between the two lines above and below, another process may have taken it for a leftover.
        if fcntl is None or (_hold(file) is not False and path.exists()):
            return path, file
        file.close()


def _hold(file: BinaryIO) -> bool | None:
    """Hold ``file`` until it is closed: whether it could be; None where the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _move_exclusively(source: Path, target: Path):
    """Give ``source`` the name ``target``; raises FileExistsError if something has it."""
    if fcntl is None:
        os.rename(source, target)
        return
    try:
        os.link(source, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a file system without hard links
        target.open("xb").close()
        os.replace(source, target)
    else:
        source.unlink()


@contextlib.contextmanager
def part_file(folder: Path) -> Iterator[PartFile]:
    """A new part file, gone on the way out unless it was moved."""
    with contextlib.closing(PartFile(folder)) as part:
        yield part
