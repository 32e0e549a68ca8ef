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
    lattice = np.random.default_rng(seed).uniform(-1, 1, (cells + 2, cells + 2))
    place = (np.arange(size) + 0.5) / size * cells
    cell = place.astype(int)
    step = place - cell
    step = step * step * (3 - 2 * step)
    weights = np.zeros((size, cells + 2))
    weights[np.arange(size), cell] = 1 - step
    weights[np.arange(size), cell + 1] = step
    return (weights @ lattice @ weights.T).astype(np.float32)
