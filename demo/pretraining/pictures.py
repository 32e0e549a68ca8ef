"""The pictures that the demo model is trained on, rendered once and kept on disk."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..held_out import pretraining_portrait
from ..portraits.render import render
from ..shapes import RESOLUTION
from ..words import CONTENT

CHUNK = 500


def render_chunk(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [CHUNK, 128, 128, 3] and their codes float32 [CHUNK, parameters]; the number is their seed."""
    rng = np.random.default_rng(number)
    pictures = np.empty((CHUNK, RESOLUTION, RESOLUTION, 3), np.uint8)
    codes = np.empty((CHUNK, CONTENT.stop), np.float32)
    for i in range(CHUNK):
        content, style = pretraining_portrait(rng)
        pictures[i] = np.round(255 * render(content, style))
        codes[i] = np.concatenate([style.vector, content.vector])
    return pictures, codes


def rendered(
    folder: Path, count: int, workers: int, prepare: Callable[[], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` pictures, a multiple of ``CHUNK``, and codes from files in ``folder``.

    What is missing there is rendered first, by new processes that begin with ``prepare``, which makes the pack
    importable to them.
    """
    if count < CHUNK or count % CHUNK:
        raise ValueError(f"Pictures are rendered by the {CHUNK}: {count} is no multiple of that.")
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(count // CHUNK)
    missing = [number for number in numbers if not _file(folder, number).is_file()]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, prepare) as pool:
        for number, (pictures, codes) in zip(
            missing, tqdm(pool.map(render_chunk, missing), total=len(missing), desc="rendering"), strict=True
        ):
            partial = _file(folder, number).with_suffix(".partial.npz")
            np.savez(partial, pictures=pictures, codes=codes)
            os.replace(partial, _file(folder, number))
    parts = [np.load(_file(folder, number)) for number in numbers]
    return np.concatenate([part["pictures"] for part in parts]), np.concatenate([part["codes"] for part in parts])


def _file(folder: Path, number: int) -> Path:
    return folder / f"pictures_{number:04}.npz"
