"""Hair: one shape around skull and shoulders, painted behind the head, and in front of it above the hairline."""

from __future__ import annotations

import numpy as np

from .parameters import amount, between
from .scene import Scene
from .shapes import bump, length, pixels, smooth

SKULL_Y = -0.08
TIP_RADIUS = 0.10


class Hair:
    """The hair of a scene.

    ``density`` is its opacity, ``thick``, ``long`` and ``curl`` go from 0 to 1, and ``end`` is y where it ends.
    ``f`` is the shape's implicit function, ``r`` 1 on the skull's part of its outline, (``nx``, ``ny``) its surface.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        who, head = scene.who, scene.head
        self.density = between(0.25, 1, amount(who.hair_length, -1, -0.75) * 2 - 1)
        self.thick = amount(who.hair_length, -1, -0.4)
        self.long = amount(who.hair_length, -0.3)
        self.curl = amount(who.curl) * (0.25 + 0.75 * self.thick)
        self.end = -0.02 + 1.03 * self.long
        beyond = (0.002 + self.thick * between(0.028, 0.095, who.hair_volume)) * (1 + 0.3 * self.curl)
        above = (0.005 + self.thick * between(0.035, 0.15, who.hair_volume)) * (1 + 0.15 * self.curl)
        flare = between(-0.05, 0.22, who.hair_volume) * self.long
        self._shape(head.half_width + beyond, SKULL_Y - head.crown + above, flare)

    def _shape(self, width: float, height: float, flare: float) -> None:
        """Half an ellipse on sides that ``flare`` downwards, with lumps of curls, and rounded tips."""
        x, y = self.scene.x + 0.10 * self.scene.place.yaw, self.scene.y
        across = x / (width * (1 + np.maximum(y - SKULL_Y, 0) * flare))
        up = np.minimum(y - SKULL_Y, 0) * (1 / height)
        self.r = length(across, up)
        self.nx, self.ny = np.clip(across, -1, 1) * 0.8, np.clip(up, -1, 0) * 0.8
        sides = (self.r - 1) * width
        if self.curl:
            self.lumps = np.sin(x * 19 + y * 5) * np.sin(y * 17 - x * 5 + 1.3)
            sides -= self.lumps * (0.038 * self.curl)
        tips = y - self.end + np.square(across) * 0.10 + np.sin(x * 23) * (0.018 * self.long)
        dx, dy = sides + TIP_RADIUS, tips + TIP_RADIUS
        rounded = length(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)
        self.f = rounded - TIP_RADIUS

    def paint_back(self) -> None:
        """The hair behind neck and ears, in shadow."""
        canvas = self.scene.canvas
        cover = canvas.paint(pixels(self.f), self.scene.hair_colour, (self.nx, self.ny), alpha=self.density)
        canvas.darken(cover * 0.38)

    def hairline(self) -> np.ndarray:
        """Its y [size, size] over each pixel: a fringe that falls from the parting, sideburns or long locks."""
        scene, who, x = self.scene, self.scene.who, self.scene.face_x
        top = -0.435 + 0.075 * who.hairline
        fringe = amount(who.fringe, -0.6) * (0.25 + 0.75 * self.thick)
        away = x - 0.30 * who.parting
        gap = bump(np.square(away) * 34) * (1 - 0.8 * amount(fringe, 0.6, 0.95))
        line = top + (scene.head.brow_y + 0.005 - top) * fringe * (1 - gap)
        line += (0.5 * (1 - 0.6 * fringe)) * x * x
        line += (0.16 * fringe * (1 - fringe)) * np.abs(away)
        line -= (0.085 * amount(-who.hairline, 0.1)) * bump(np.square(np.abs(x) - 0.24) * 90)
        if self.curl:
            line += self.lumps * (0.025 * self.curl)
        sides = smooth(0.80 - 0.09 * self.long, 1.06 - 0.06 * self.long, np.abs(x) / scene.head.half_width)
        line += sides * (self.end + 0.4 * min(1, 4 * self.long) - line)
        return line + np.sin(x * 27) * (0.014 * fringe + 0.010 * self.curl)

    def strands(self) -> np.ndarray:
        """Light and dark strands, about -1..1 [size, size], that curls turn into locks."""
        scene = self.scene
        wave = np.sin(scene.y * 8 + 1) * (0.3 + 1.6 * self.curl)
        strands = np.sin((scene.face_x - 0.3 * scene.who.parting) * 24 / (1 + np.abs(self.ny)) + wave)
        if self.curl:
            strands += self.curl * (self.lumps * 1.6 - strands * 0.6)
        return strands

    def paint_front(self, face: np.ndarray) -> None:
        """The hair over forehead and temples, with a sheen; its shadow falls where the coverage ``face`` is 1."""
        scene, canvas = self.scene, self.scene.canvas
        below = pixels(scene.y - self.hairline())
        distance = np.maximum(pixels(self.f), below)
        below /= canvas.unit
        canvas.darken(smooth(6, 0, below) * (0.30 * self.density) * face)
        strands = self.strands()
        shades = scene.hair_colour[:, None, None] * (1 + strands * 0.13)
        cover = canvas.paint(distance, shades, (self.nx, self.ny), alpha=self.density)
        ring = bump(np.square((self.r - 0.72) * 9)) * smooth(0.45, -0.15, scene.y)
        sheen = 0.10 + 0.20 * float(scene.hair_colour.mean())
        canvas.gloss += cover * ring * (0.75 + strands * 0.35) * sheen
        canvas.darken(cover * smooth(0.9, 1.05, self.r) * 0.18)
        canvas.darken(cover * smooth(-4, 0, below) * 0.12)
