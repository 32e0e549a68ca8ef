"""Where a benchmark's trainings write: a folder that is gone afterwards, and never the user's output folder."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import folder_paths


@contextlib.contextmanager
def temporary_output() -> Iterator[str]:
    """ComfyUI's output folder is an empty temporary one, which this gives, and the only place of LoRAs is in it."""
    with tempfile.TemporaryDirectory() as folder:
        loras = ([str(Path(folder) / "loras")], folder_paths.supported_pt_extensions)
        with (
            mock.patch.object(folder_paths, "output_directory", folder),
            mock.patch.dict(folder_paths.folder_names_and_paths, loras=loras),
        ):
            yield folder
