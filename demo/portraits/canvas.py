"""What the parts of a portrait are painted on: for each pixel its colour, surface, shadow, gloss and nearest contour.

A shape is an implicit function f of the pixels, negative inside. f / |grad f| is its distance in pixels under whatever
warp the coordinates went through, so that edges are equally crisp and lines equally wide everywhere.
"""

from __future__ import annotations

import numpy as np

FAR = np.float32(1e3)
EVERYWHERE = (slice(None), slice(None))


def pixels(f: np.ndarray) -> np.ndarray:
    """The signed distance in pixels [h, w] to where ``f`` [h, w] is 0, to first order."""
    squares = np.empty_like(f)
    step = f[:, 2:] - f[:, :-2]
    squares[:, 1:-1] = step * step
    squares[:, 0] = squares[:, 1]
    squares[:, -1] = squares[:, -2]
    step = f[2:] - f[:-2]
    step *= step
    squares[1:-1] += step
    squares[0] += step[0]
    squares[-1] += step[-1]
    squares += np.float32(1e-8)
    np.sqrt(squares, out=squares)
    return 2 * f / squares


def smooth(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between them."""
    t = np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def bump(x: np.ndarray) -> np.ndarray:
    """exp(-x)-like for x >= 0: (1 + x / 2)^-2, without the cost."""
    return 1 / np.square(1 + x * np.float32(0.5))


class Canvas:
    """Buffers of ``size`` x ``size`` pixels; lengths in pixels are meant for 128 and scale with ``unit``."""

    def __init__(self, size: int, softness: float):
        self.size = size
        self.unit = size / 128
        self.blur = np.float32(self.unit * softness if self.unit * softness > 1 else 1)
        self.albedo = np.zeros((3, size, size), np.float32)
        self.nx = np.zeros((size, size), np.float32)
        self.ny = np.zeros((size, size), np.float32)
        self.shade = np.ones((size, size), np.float32)
        self.gloss = np.zeros((size, size), np.float32)
        self.wall = np.ones((size, size), np.float32)
        self.exposure = np.float32(1)
        self.line = np.full((size, size), FAR, np.float32)

    def paint(self, distance, colour, normal=None, box=EVERYWHERE, alpha=1.0, line=1.0) -> np.ndarray:
        """Cover where the signed ``distance`` [h, w] in pixels is below 0 with ``colour`` [3] or [3, h, w] and return the coverage [h, w].

        With a ``normal`` (nx, ny) it is a new surface, without shadows; else it is paint on the one below. ``line``
        is how strong its contour is, from 0 to 1.
        """
        cover = np.clip(np.float32(0.5) - distance / self.blur, 0, 1)
        if line:
            fade = np.float32(3 * (1 / line - 1))
            below = self.line[box]
            outside = distance + fade if box is EVERYWHERE else _steep(distance) + fade
            below[:] = np.where(distance < 0, fade - distance, np.minimum(below, outside))
        if alpha != 1:
            cover *= np.float32(alpha)
        self.tint(cover, colour, box)
        if normal is not None:
            self.wall[box] *= 1 - cover
            for buffer, value in zip((self.nx, self.ny, self.shade, self.gloss), (*normal, 1, 0), strict=True):
                buffer[box] += cover * (value - buffer[box])
        return cover

    def tint(self, cover, colour, box=EVERYWHERE) -> None:
        """Mix ``colour`` [3] or [3, h, w] in by ``cover`` [h, w]."""
        for channel in range(3):
            below = self.albedo[channel][box]
            below += cover * (colour[channel] - below)

    def darken(self, amount, box=EVERYWHERE) -> None:
        """Take ``amount`` [h, w] of the light away."""
        self.shade[box] *= 1 - amount

    def stroke(self, distance, width: float, box=EVERYWHERE, line: float = 1.0) -> None:
        """A contour where ``distance`` [h, w] is 0 that only line drawings show, ``width`` pixels thinner (< 0: thicker) than others."""
        distance = _steep(np.abs(distance)) + np.float32(width * self.unit + 3 * (1 / line - 1))
        np.minimum(self.line[box], distance, out=self.line[box])


def _steep(distance: np.ndarray) -> np.ndarray:
    """Distances that grow fast, so that nothing of a small part's contour is left at the border of its box."""
    return distance + np.square(np.maximum(distance - 1, 0)) * np.float32(0.4)
