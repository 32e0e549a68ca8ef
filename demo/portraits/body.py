"""Background, neck and shirt."""

from __future__ import annotations

import numpy as np

from . import colours
from .scene import Scene
from .shapes import both, bump, pixels, smooth
from .texture import grid


def paint_background(scene: Scene) -> None:
    """A plain wall, brightest where it faces the light."""
    canvas = scene.canvas
    x, y = grid(canvas.size)
    canvas.albedo[:] = colours.wheel(colours.BACKGROUND, scene.who.background_hue)[:, None, None]
    canvas.nx[:] = x * -0.45
    canvas.ny[:] = y * -0.45


def paint_neck(scene: Scene) -> None:
    """The neck, in the shadow of the chin."""
    canvas, x, y = scene.canvas, scene.body_x, scene.body_y
    width = 0.235 + 0.02 * scene.who.face_width
    flare = np.square(np.maximum(y - 0.72, 0)) * 3
    neck = both(np.abs(x) - width - flare, 0.1 - y)
    nx = np.clip(x / width, -1, 1) * 0.75
    cover = canvas.paint(pixels(neck), scene.skin * 0.96, (nx, 0.1))
    canvas.darken(cover * smooth(0.92, 0.62, y) * 0.42)


def paint_shirt(scene: Scene) -> None:
    """Shoulders and a collar, from a deep V (-1) over a round neck (0) to a roll neck (1)."""
    canvas, x, y = scene.canvas, scene.body_x, scene.body_y
    colour = colours.wheel(colours.SHIRT, scene.who.shirt_hue)
    deep, high = max(-scene.who.collar, 0), max(scene.who.collar, 0)
    side = np.abs(x)
    shoulders = 0.80 + np.square(np.maximum(side - 0.22, 0)) * 0.42 - y
    roll = both(0.80 - 0.1 * high - y, side - 0.275)
    slope, curve = 0.25 + 0.75 * deep - 0.17 * high, 1.2 * (1 - deep)
    opening = 0.87 + 0.16 * deep - 0.14 * high - side * slope - np.square(side) * curve - y
    shirt = both(np.minimum(shoulders, roll), opening)
    canvas.paint(pixels(shirt), colour, (np.clip(x * 0.8, -0.7, 0.7), -0.2))
    hem = both(np.abs(opening + 0.035) - 0.035, shirt)
    cover = canvas.paint(pixels(hem), colour * 0.55 + 0.38, line=0)
    canvas.darken(cover * 0.06)
    fold = bump(np.abs(side - 0.52 - (y - 0.9) * 0.6) * 40)
    canvas.darken(fold * 0.16 * (shirt < 0))
