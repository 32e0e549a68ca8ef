"""Hair: one shape around skull and shoulders, painted behind the head, and in front of it above the hairline."""

from __future__ import annotations

import numpy as np

from .canvas import bump, pixels, smooth
from .parameters import amount, between
from .scene import Scene

SKULL_Y = -0.08


class Hair:
    """The hair of a scene; ``length``: y where it ends, ``density``: 0 is a shaved head."""

    def __init__(self, scene: Scene, colour: np.ndarray):
        self.scene, self.colour = scene, colour
        who, head = scene.who, scene.head
        long = amount(who.hair_length, -0.3)
        self.density = 0.25 + 0.75 * amount(who.hair_length, -1, -0.75)
        thick = amount(who.hair_length, -1, -0.4)
        self.curl = amount(who.curl) * (0.25 + 0.75 * thick)
        self.long = long
        self.length = -0.02 + 1.03 * long
        self.beyond = (0.002 + thick * between(0.028, 0.095, who.hair_volume)) * (1 + 0.3 * self.curl)
        self.above = (0.005 + thick * between(0.035, 0.15, who.hair_volume)) * (1 + 0.15 * self.curl)
        self.width = head.half_width + self.beyond
        self._shape()

    def _shape(self) -> None:
        """The implicit function of the whole hair, and its surface."""
        scene, x, y = self.scene, self.scene.x, self.scene.y
        x = x + np.float32(0.10 * scene.place.yaw)
        high = np.minimum(y - np.float32(SKULL_Y), 0) * np.float32(1 / (SKULL_Y - scene.head.crown + self.above))
        flare = 1 + np.maximum(y - np.float32(SKULL_Y), 0) * np.float32(between(-0.05, 0.22, scene.who.hair_volume) * self.long)
        across = x / (np.float32(self.width) * flare)
        self.r = np.sqrt(across * across + high * high)
        self.nx, self.ny = np.clip(across, -1, 1) * np.float32(0.8), np.clip(high, -1, 0) * np.float32(0.8)
        sides = (self.r - 1) * np.float32(self.width)
        if self.curl:
            self.lumps = np.sin(x * np.float32(19) + y * 5) * np.sin(y * np.float32(17) - x * 5 + np.float32(1.3))
            sides = sides - self.lumps * np.float32(0.038 * self.curl)
        bottom = y - np.float32(self.length) + np.square(across) * np.float32(0.10)
        bottom = bottom + np.sin(x * np.float32(23)) * np.float32(0.018 * self.long)
        corner = np.float32(0.10)
        dx, dy = sides + corner, bottom + corner
        self.f = np.sqrt(np.square(np.maximum(dx, 0)) + np.square(np.maximum(dy, 0))) + np.minimum(np.maximum(dx, dy), 0) - corner

    def paint_back(self) -> None:
        """The hair behind neck and ears, in shadow."""
        canvas = self.scene.canvas
        cover = canvas.paint(pixels(self.f), self.colour, (self.nx, self.ny), alpha=self.density if self.density < 1 else 1.0)
        canvas.darken(cover * np.float32(0.38))

    def hairline(self) -> np.ndarray:
        """y of the hairline [size, size] over the face: a parting, a fringe falling from it, sideburns or long locks."""
        scene, who = self.scene, self.scene.who
        x = scene.face_x
        middle = -0.435 + 0.075 * who.hairline
        fringe = amount(who.fringe, -0.6) * (0.25 + 0.75 * amount(who.hair_length, -1, -0.4))
        drop = (scene.head.brow_y + 0.005 - middle) * fringe
        parting = 0.30 * who.parting
        away = x - np.float32(parting)
        notch = bump(np.square(away) * np.float32(34)) * np.float32(1 - 0.8 * amount(fringe, 0.6, 0.95))
        line = np.float32(middle) + np.float32(drop) * (1 - notch) + np.float32(0.5 * (1 - 0.6 * fringe)) * x * x
        line = line + np.float32(0.16 * fringe * (1 - fringe)) * np.abs(away)
        line = line - np.float32(0.085 * amount(-who.hairline, 0.1)) * bump(np.square(np.abs(x) - np.float32(0.24)) * 90)
        tips = np.sin(x * np.float32(27)) * np.float32(0.014 * fringe + 0.010 * self.curl)
        side = np.abs(x) * np.float32(1 / scene.head.half_width)
        sides = smooth(0.80 - 0.09 * self.long, 1.06 - 0.06 * self.long, side)
        if self.curl:
            line = line + self.lumps * np.float32(0.025 * self.curl)
        return line + tips + sides * (np.float32(self.length + 0.4 * min(1, 4 * self.long)) - line)

    def paint_front(self, face: np.ndarray) -> None:
        """The hair over forehead and temples, with strands and sheen; its shadow falls on where ``face`` is 1."""
        scene, canvas = self.scene, self.scene.canvas
        below = scene.y - self.hairline()
        below = pixels(below)
        distance = np.maximum(pixels(self.f), below)
        below *= np.float32(1 / canvas.unit)
        canvas.darken(smooth(6, 0, below) * np.float32(0.30 * self.density) * face)
        wave = scene.y * np.float32(8) + np.float32(1)
        strands = np.sin((scene.face_x - np.float32(0.3 * scene.who.parting)) * np.float32(24) / (1 + np.abs(self.ny)) + np.sin(wave) * np.float32(0.3 + 1.6 * self.curl))
        if self.curl:
            strands = strands + np.float32(self.curl) * (self.lumps * np.float32(1.6) - strands * np.float32(0.6))
        shades = self.colour[:, None, None] * (1 + strands * np.float32(0.13))
        cover = canvas.paint(distance, shades, (self.nx, self.ny), alpha=self.density)
        ring = bump(np.square((self.r - np.float32(0.72)) * np.float32(9))) * smooth(0.45, -0.15, scene.y)
        light = np.float32(0.10 + 0.20 * float(self.colour.mean()))
        canvas.gloss += cover * ring * (np.float32(0.75) + strands * np.float32(0.35)) * light
        canvas.darken(cover * smooth(0.9, 1.05, self.r) * np.float32(0.18))
        canvas.darken(cover * smooth(-4, 0, below) * np.float32(0.12))
