"""Shapes as implicit functions f of the pixels, negative inside, and the soft steps and bumps that shade them.

f / |grad f| is the distance in pixels under whatever warp the coordinates went through, so that edges are equally crisp
and lines equally wide everywhere.
"""

from __future__ import annotations

import numpy as np


def pixels(f: np.ndarray) -> np.ndarray:
    """The signed distance in pixels [h, w] to where ``f`` [h, w] is 0, to first order."""
    slope = np.empty_like(f)
    step = f[:, 2:] - f[:, :-2]
    slope[:, 1:-1] = step * step
    slope[:, 0] = slope[:, 1]
    slope[:, -1] = slope[:, -2]
    step = f[2:] - f[:-2]
    step *= step
    slope[1:-1] += step
    slope[0] += step[0]
    slope[-1] += step[-1]
    slope += 1e-8
    np.sqrt(slope, out=slope)
    return 2 * f / slope


def length(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The Euclidean length of (x, y)."""
    return np.sqrt(x * x + y * y)


def both(*fs: np.ndarray) -> np.ndarray:
    """The shape common to the shapes ``fs``."""
    common = fs[0]
    for f in fs[1:]:
        common = np.maximum(common, f)
    return common


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 at ``low`` and beyond, 1 at ``high`` and beyond, smooth between them; ``low`` may be the greater."""
    t = np.clip((x - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray) -> np.ndarray:
    """(1 + x / 2)^-2 for x >= 0: much like exp(-x), at less cost."""
    return 1 / np.square(1 + x * 0.5)
