"""One portrait in the making: who, how, on what canvas, and every pixel's place in the head's coordinates."""

from __future__ import annotations

import numpy as np

from . import colours, wobble
from .anatomy import Placement, measure
from .canvas import Canvas
from .content import Content
from .parameters import amount
from .style import Style

FACE_VALUE = 0.62


class Scene:
    """Where each pixel is: ``x``, ``y`` on the head, ``face_x`` on the turned face, ``body_x``, ``body_y`` upright."""

    def __init__(self, content: Content, style: Style, size: int):
        self.who = who = content.identity
        self.pose = content.pose
        self.skin = colours.skin(who.skin_tone, who.skin_warmth)
        self.hair_colour = colours.hair(who.hair_tone, who.hair_warmth)
        self.beard_colour = self.hair_colour * 0.85
        self.brow_colour = self.hair_colour * 0.7 + self.skin * 0.08
        self.head = measure(who, style)
        self.place = Placement(self.pose, style, self.head)
        self.angularity = self.place.angularity
        exposure = float(FACE_VALUE / colours.luminance(self.skin)) ** 0.9
        self.canvas = Canvas(size, 1 + 1.5 * amount(style.watercolour), exposure)
        x, y = wobble.meant(size, style)
        self.x, self.y = self.place.to_head(x, y)
        self.face_x = self.place.to_face(self.x)
        self.body_x, self.body_y = self.place.to_body(x, y)

    def box(self, x: float, y: float, width: float, height: float, lift: float = 0.0) -> tuple[slice, slice]:
        """The pixels that a part of these half sizes may reach around the face point (x, y)."""
        return self.picture_box(*self.place.face_to_picture(x, y, lift), width, height)

    def picture_box(self, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
        """The pixels that a part of these half sizes may reach around the picture point (x, y)."""
        scale, tilt = self.place.zoom * 1.25, abs(self.place.sin)
        rows = _span(y, (height + width * tilt) * scale + 0.05, self.canvas.size)
        return rows, _span(x, (width + height * tilt) * scale + 0.05, self.canvas.size)

    def local(self, box: tuple[slice, slice], x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Face coordinates of the pixels in ``box`` from the face point (x, y)."""
        return self.face_x[box] - x, self.y[box] - y


def _span(centre: float, half: float, size: int) -> slice:
    """The pixels from centre - half to centre + half, at least three."""
    first = int(min(max((centre - half + 1) * size / 2, 0), size - 3))
    last = int(min(max((centre + half + 1) * size / 2 + 1, first + 3), size))
    return slice(first, last)
