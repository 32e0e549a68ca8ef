"""Pixel grids and fixed noise, kept for each picture size; picture coordinates run from -1 to 1, right and down."""

from __future__ import annotations

import functools

import numpy as np


@functools.lru_cache(maxsize=8)
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixel centres, each float32 [size, size]."""
    line = (np.arange(size, dtype=np.float32) * 2 + 1) / size - 1
    return np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))


@functools.lru_cache(maxsize=32)
def noise(size: int, cells: int, seed: int) -> np.ndarray:
    """Smooth noise in -1..1 with ``cells`` bumps across the picture, float32 [size, size]."""
    weights = _weights((np.arange(size) * 2 + 1) / size - 1, cells)
    return (weights @ _lattice(cells, seed) @ weights.T).astype(np.float32)


def noise_at(x: float, y: float, cells: int, seed: int) -> float:
    """The value of that noise at the point (x, y)."""
    across, down = _weights(np.array([x, y]), cells)
    return float(down @ _lattice(cells, seed) @ across)


@functools.lru_cache(maxsize=32)
def _lattice(cells: int, seed: int) -> np.ndarray:
    """The noise at the corners of the cells, [cells + 2, cells + 2]."""
    return np.random.default_rng(seed).uniform(-1, 1, (cells + 2, cells + 2))


def _weights(place: np.ndarray, cells: int) -> np.ndarray:
    """What each row of the lattice counts at ``place`` [n] in -1..1, [n, cells + 2]."""
    place = np.clip((place + 1) / 2, 0, 1) * cells
    cell = place.astype(int)
    step = place - cell
    step = step * step * (3 - 2 * step)
    weights = np.zeros((len(place), cells + 2))
    weights[np.arange(len(place)), cell] = 1 - step
    weights[np.arange(len(place)), cell + 1] = step
    return weights
