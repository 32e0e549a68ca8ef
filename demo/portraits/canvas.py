"""What the parts of a portrait are painted on: each pixel's colour, surface, shadow, gloss and nearest contour."""

from __future__ import annotations

import numpy as np

FAR = 1e3
EVERYWHERE = (slice(None), slice(None))


class Canvas:
    """Buffers of ``size`` x ``size`` pixels; ``unit`` is the width in pixels of one pixel of a picture of 128.

    ``albedo`` [3, size, size]; the others [size, size]: ``nx`` and ``ny`` of the surface's normal, ``shade`` the part
    of the light that arrives, ``gloss`` that of a highlight, ``wall`` how much of the background is left to see, and
    ``line`` the distance in pixels to the nearest contour. ``exposure`` brings the face to a print's middle values.
    """

    def __init__(self, size: int, softness: float, exposure: float):
        self.size = size
        self.unit = size / 128
        self.blur = max(1.0, self.unit * softness)
        self.exposure = exposure
        self.albedo = np.zeros((3, size, size), np.float32)
        self.nx, self.ny, self.gloss = np.zeros((3, size, size), np.float32)
        self.shade, self.wall = np.ones((2, size, size), np.float32)
        self.line = np.full((size, size), FAR, np.float32)

    def paint(self, distance, colour, normal=None, box=EVERYWHERE, alpha=1.0, line=1.0) -> np.ndarray:
        """Cover where ``distance`` [h, w] is below 0 with ``colour`` [3] or [3, h, w]; returns the coverage [h, w].

        With a ``normal`` (nx, ny) it is a new surface, in full light; else it is paint on the one below. ``line`` is
        how strong its contour is, from 0 to 1.
        """
        cover = np.clip(0.5 - distance / self.blur, 0, 1)
        if line:
            thinner = 3 * (1 / line - 1)
            below = self.line[box]
            outside = distance if box is EVERYWHERE else _steep(distance)
            below[:] = np.where(distance < 0, thinner - distance, np.minimum(below, outside + thinner))
        if alpha != 1:
            cover *= alpha
        self.tint(cover, colour, box)
        if normal is not None:
            self.wall[box] *= 1 - cover
            for buffer, value in zip((self.nx, self.ny, self.shade, self.gloss), (*normal, 1, 0), strict=True):
                buffer[box] += cover * (value - buffer[box])
        return cover

    def tint(self, cover, colour, box=EVERYWHERE) -> None:
        """Mix ``colour`` [3] or [3, h, w] in by ``cover`` [h, w]."""
        for below, channel in zip(self.albedo, colour, strict=True):
            below[box] += cover * (channel - below[box])

    def stain(self, cover, factors, box=EVERYWHERE) -> None:
        """Multiply the colour with ``factors`` [3] where ``cover`` [h, w] is 1."""
        for below, factor in zip(self.albedo, factors, strict=True):
            below[box] *= 1 + cover * (factor - 1)

    def darken(self, cover, box=EVERYWHERE) -> None:
        """Take the part ``cover`` [h, w] of the light away."""
        self.shade[box] *= 1 - cover

    def stroke(self, distance, thinner: float, box=EVERYWHERE, line: float = 1.0) -> None:
        """A contour along ``distance`` [h, w] = 0 over the others, ``thinner`` by some pixels; ``line`` as above."""
        distance = _steep(np.abs(distance)) + thinner * self.unit + 3 * (1 / line - 1)
        np.minimum(self.line[box], distance, out=self.line[box])


def _steep(distance: np.ndarray) -> np.ndarray:
    """Distances that grow fast, so that nothing of a small part's contour is left at the border of its box."""
    return distance + np.square(np.maximum(distance - 1, 0)) * 0.4
