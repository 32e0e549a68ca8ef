"""Where a training's files go: weights below ComfyUI's output folder, the state to resume from apart from them."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ..training import resume, safetensors_file
from ..training.part_file import remove_leftovers
from ..training.weights import NotStyO, read_training
from .result import Result

STATE_FOLDER = "styo_training"
SUFFIX = ".safetensors"


class OutputFiles:
    """The files of one training: ``<output>/<prefix>_00001_.safetensors``, the ones on the way to it, and its state.

    Raises ValueError where ``prefix`` leads out of the output folder or cannot be written to.
    """

    def __init__(self, prefix: str, fingerprint: str, steps: int):
        self._prefix = prefix.strip()
        if self._prefix.endswith(("/", "\\")) or not os.path.basename(self._prefix).strip("."):
            raise ValueError(f"filename_prefix is '{prefix}': end it with a file name, such as loras/StyO/idl.")
        self.folder, self._name, _, self._prefix = self._place()
        self._fingerprint = fingerprint
        self._steps = steps
        self.state = Path(folder_paths.get_output_directory()) / STATE_FOLDER / f"{fingerprint}{SUFFIX}"
        for folder in (self.folder, self.state.parent):
            _require_writable(folder)
        for folder in (self.folder, *(path.parent for path in self._shelters())):
            remove_leftovers(folder)
        for step in (None, steps):
            self._require_name(next(self._free_paths(step)))
        if not self._is_listed():
            logging.warning("StyO: filename_prefix is '%s': LoRA loaders list files below loras/ only.", self._prefix)

    def _place(self, suffix: str = "") -> tuple[Path, str, int, str]:
        """Folder, name, next free number, and the prefix with its date filled in."""
        try:
            self._prefix.encode()
            if "\0" in self._prefix:
                raise ValueError
            folder, name, counter, _, prefix = folder_paths.get_save_image_path(
                self._prefix + suffix, folder_paths.get_output_directory()
            )
        except Exception as error:
            raise ValueError(f"filename_prefix is '{self._shown}', which {_reason(error)}.") from None
        return Path(folder), name, counter, prefix

    @property
    def _shown(self) -> str:
        return self._prefix.encode(errors="replace").decode()

    def _free_paths(self, step: int | None) -> Iterator[Path]:
        """Paths that nothing had a moment ago: for the finished weights, or for those after ``step`` steps."""
        folder, name, counter, _ = self._place("" if step is None else f"_step{step:05}")
        return (folder / f"{name}_{number:05}_{SUFFIX}" for number in itertools.count(counter))

    def _require_name(self, path: Path):
        """Raise ValueError unless the system lets a file be called as the weights will be."""
        try:
            with path.open("xb"):
                stored = _composed(path.name) in map(_composed, os.listdir(self.folder))
            path.unlink()
        except FileExistsError:
            return
        except (OSError, ValueError) as error:
            raise ValueError(f"filename_prefix is '{self._shown}', which {_reason(error)}.") from None
        if not stored:
            raise ValueError(f"filename_prefix is '{self._shown}', which no file can be called here: choose another.")

    def write(self, result: Result, step: int | None = None) -> Path:
        """Write weights, finished or those after ``step`` steps, under a name of their own; returns it."""
        return safetensors_file.write_new(self._free_paths(step), result.weights, result.metadata, self.folder)

    def finished(self) -> Path | None:
        """A file in the prefix's folder that this very training wrote after all of its steps, if there is one."""
        named = (path for path in sorted(self.folder.iterdir()) if path.name.startswith(self._name))
        return next((path for path in named if self._holds(path, self._steps, finite=True)), None)

    def diverged(self, step: int) -> Path | None:
        """The same for one whose loss was not finite any more at ``step``."""
        named = (path for path in sorted(self.folder.iterdir()) if path.name.startswith(self._name))
        return next((path for path in named if self._holds(path, step, finite=False)), None)

    def _holds(self, path: Path, steps: int, finite: bool) -> bool:
        """Whether this very training wrote ``path`` after ``steps`` steps, all of whose losses were finite or not."""
        with contextlib.suppress(NotStyO, safetensors_file.DamagedFile, OSError):
            if path.suffix == SUFFIX:
                training = read_training(safetensors_file.read_metadata(path))
                same = training.get("fingerprint") == self._fingerprint and training.get("steps") == steps
                return same and all(map(math.isfinite, training["losses"])) == finite
        return False

    def keep(self, result: Result) -> Path | None:
        """Write finished weights that found no room in their folder to where there is some; None if there is none."""
        for path in self._shelters():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                return safetensors_file.write_new([path], result.weights, result.metadata, path.parent)
        return None

    def kept(self) -> Path | None:
        """The finished weights that `keep` wrote, if there are some."""
        return next((path for path in self._shelters() if self._holds(path, self._steps, finite=True)), None)

    def _drop_kept(self):
        for path in self._shelters():
            if self._holds(path, self._steps, finite=True):
                path.unlink(missing_ok=True)

    def _shelters(self) -> Iterator[Path]:
        name = f"styo_{self._fingerprint}_{self._steps}{SUFFIX}"
        return (folder / name for folder in (self.state.parent, Path(tempfile.gettempdir())))

    def require_space(self, weights: int, state: int, saves: int):
        """Raise ValueError unless the disks hold the finished weights and ``saves`` saves on the way; sizes in bytes.

        A state is written beside the one it replaces. With none to replace, a cancel needs room for one.
        """
        states = min(saves, 1) if self.state.exists() else max(1, min(saves, 2))
        disks: dict[int, list] = {}
        for folder, size in ((self.folder, weights * (saves + 1)), (self.state.parent, state * states)):
            disks.setdefault(os.stat(folder).st_dev, [folder, 0])[1] += size
        for folder, needed in disks.values():
            free = shutil.disk_usage(folder).free
            if free < needed:
                raise ValueError(
                    f"The disk of {folder} has {free / 2**30:.1f} GB left and this training writes up to "
                    f"{needed / 2**30:.1f} GB: free some, raise save_every (0: only at the end), or choose optimizer "
                    "adafactor or method lora."
                )

    def drop_superseded(self):
        """Remove what the finished weights in their folder leave no use for: copies elsewhere, and the state."""
        self._drop_kept()
        self.drop_state()

    def drop_state(self):
        """Remove the state, unless it is one of a longer training."""
        resume.drop_state(self.state, self._steps)

    def _is_listed(self) -> bool:
        folder = self.folder.resolve()
        return any(folder.is_relative_to(Path(listed).resolve()) for listed in folder_paths.get_folder_paths("loras"))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be written to ({error.strerror})"
    if isinstance(error, ValueError):
        return "holds characters that no file name can have"
    return "leads out of ComfyUI's output folder"


def _composed(name: str) -> str:
    """``name`` in the one form of Unicode that file systems' own forms are compared in."""
    return unicodedata.normalize("NFC", name)


def _require_writable(folder: Path):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be written to ({error.strerror}): choose another filename_prefix."
        ) from None
