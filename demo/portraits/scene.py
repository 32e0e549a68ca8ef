"""One portrait in the making: who, how, on what canvas, and every pixel's place in the head's coordinates."""

from __future__ import annotations

import numpy as np

from .anatomy import Placement, measure
from .canvas import Canvas
from .content import Content
from .parameters import amount
from .style import Style
from .texture import grid, noise


class Scene:
    """``x``, ``y``: head coordinates of the pixels, ``face_x``: x on the turned face, ``body_x``, ``body_y``: upright."""

    def __init__(self, content: Content, style: Style, size: int):
        self.who, self.pose = content.identity, content.pose
        self.head = measure(self.who, style)
        self.place = Placement(self.pose, style, self.head.half_width * 1.14)
        self.angularity = self.place.angularity
        self.canvas = Canvas(size, 1 + 1.5 * amount(style.watercolour))
        x, y = grid(size)
        wobble = np.float32(0.045 * amount(style.wobble))
        if wobble:
            x, y = x + wobble * noise(size, 11, 1), y + wobble * noise(size, 11, 2)
        self.x, self.y = self.place.to_head(x, y)
        self.face_x = self.place.to_face(self.x)
        self.body_x, self.body_y = self.place.to_body(x, y)

    def box(self, x: float, y: float, width: float, height: float, lift: float = 0.0) -> tuple[slice, slice]:
        """The pixels around the face point (x, y) that a part of these half sizes may reach."""
        return self.picture_box(*self.place.face_to_picture(x, y, lift), width, height)

    def picture_box(self, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
        """The pixels around the picture point (x, y) that a part of these half sizes may reach."""
        scale, sin = self.place.zoom * 1.25, abs(self.place.sin)
        rows = _span(y, (height + width * sin) * scale + 0.05, self.canvas.size)
        return rows, _span(x, (width + height * sin) * scale + 0.05, self.canvas.size)

    def local(self, box: tuple[slice, slice], x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Face coordinates of the pixels in ``box`` from the face point (x, y)."""
        return self.face_x[box] - np.float32(x), self.y[box] - np.float32(y)


def _span(centre: float, half: float, size: int) -> slice:
    """The pixels from centre - half to centre + half, at least three."""
    first = int(min(max((centre - half + 1) * size / 2, 0), size - 3))
    last = int(min(max((centre + half + 1) * size / 2 + 1, first + 3), size))
    return slice(first, last)
