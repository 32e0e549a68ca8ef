"""Where a training's files go: weights below ComfyUI's output folder, the state to resume from apart from them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import folder_paths

from ..training import safetensors_file
from ..training.weights import NotStyO, read_training

STATE_FOLDER = "styo_training"
SUFFIX = ".safetensors"


class OutputFiles:
    """The files of one training: ``<output>/<prefix>_00001_.safetensors``, the ones on the way to it, and its state.

    Raises ValueError where ``prefix`` leads out of the output folder or cannot be written to.
    """

    def __init__(self, prefix: str, fingerprint: str):
        self._prefix = prefix.strip()
        if self._prefix.endswith(("/", "\\")) or not os.path.basename(self._prefix).strip("."):
            raise ValueError(f"filename_prefix is '{prefix}': end it with a file name, such as loras/StyO/idl.")
        self._folder, self._name, _, self._prefix = self._place()
        self._fingerprint = fingerprint
        self.state = Path(folder_paths.get_output_directory()) / STATE_FOLDER / f"{fingerprint}{SUFFIX}"
        for folder in (self._folder, self.state.parent):
            _require_writable(folder)
        for unfinished in self.state.parent.glob(f".{self.state.name}.*"):
            unfinished.unlink()
        if not self._is_listed():
            logging.warning("StyO: filename_prefix is '%s': LoRA loaders list files below loras/ only.", self._prefix)

    def _place(self, suffix: str = "") -> tuple[Path, str, int, str]:
        """Folder, name, next free number, and the prefix with its date filled in."""
        try:
            folder, name, counter, _, prefix = folder_paths.get_save_image_path(
                self._prefix + suffix, folder_paths.get_output_directory()
            )
        except Exception as error:
            raise ValueError(f"filename_prefix is '{self._prefix}', which {_reason(error)}.") from None
        return Path(folder), name, counter, prefix

    def new_path(self, step: int | None = None) -> Path:
        """A path that no file has yet: for the finished weights, or for those after ``step`` steps."""
        folder, name, counter, _ = self._place("" if step is None else f"_step{step:05}")
        return folder / f"{name}_{counter:05}_{SUFFIX}"

    def finished(self, steps: int) -> Path | None:
        """A file in the prefix's folder that this very training wrote after ``steps`` steps, if there is one."""
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith(self._name) and path.suffix == SUFFIX:
                with contextlib.suppress(NotStyO, safetensors_file.DamagedFile, OSError):
                    training = read_training(safetensors_file.read_metadata(path))
                    if training.get("fingerprint") == self._fingerprint and training.get("steps") == steps:
                        return path
        return None

    def require_space(self, parameters: int, state_bytes: int, saves: int):
        """Raise ValueError unless the disk holds the finished weights and ``saves`` saves on the way.

        A state is written beside the one it replaces; weights take at most 4 bytes each of ``parameters``.
        """
        needed = state_bytes * max(1, min(saves, 2)) + 4 * parameters * (saves + 1)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise ValueError(
                f"The disk of {self._folder} has {free / 2**30:.1f} GB left and this training writes up to "
                f"{needed / 2**30:.1f} GB: free some, raise save_every (0: only at the end), or choose optimizer "
                "adafactor or method lora."
            )

    def remove_state(self):
        """Drop the state of a training that is finished."""
        self.state.unlink(missing_ok=True)

    def _is_listed(self) -> bool:
        folder = self._folder.resolve()
        return any(folder.is_relative_to(Path(listed).resolve()) for listed in folder_paths.get_folder_paths("loras"))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be written to ({error.strerror})"
    return "leads out of ComfyUI's output folder"


def _require_writable(folder: Path):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"The folder {folder} cannot be written to ({error.strerror}): choose another filename_prefix."
        ) from None
