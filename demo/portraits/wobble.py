"""The unsteady hand of a style: smooth displacements of all that is drawn."""

from __future__ import annotations

import numpy as np

from .parameters import amount
from .style import Style
from .texture import grid, noise, noise_at

REACH = 0.045
BUMPS = 11
SEED_X, SEED_Y = 1, 2


def meant(size: int, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """The picture coordinates (x, y), each [size, size], of what the hand put on each pixel."""
    x, y = grid(size)
    reach = REACH * amount(style.wobble)
    if reach:
        x, y = x + reach * noise(size, BUMPS, SEED_X), y + reach * noise(size, BUMPS, SEED_Y)
    return x, y


def drawn(x: float, y: float, style: Style) -> tuple[float, float]:
    """Where the hand put the picture point (x, y): the inverse of ``meant``, by fixed-point iteration."""
    reach = REACH * amount(style.wobble)
    at_x, at_y = x, y
    for _ in range(8 if reach else 0):
        at_x, at_y = (
            x - reach * noise_at(at_x, at_y, BUMPS, SEED_X),
            y - reach * noise_at(at_x, at_y, BUMPS, SEED_Y),
        )
    return at_x, at_y
