"""Background, neck and shirt."""

from __future__ import annotations

import numpy as np

from . import colours
from .canvas import bump, pixels, smooth
from .scene import Scene
from .texture import grid


def paint_background(scene: Scene) -> None:
    """A plain wall, lit from the side of the light."""
    canvas = scene.canvas
    x, y = grid(canvas.size)
    canvas.albedo[:] = colours.wheel(colours.BACKGROUND, scene.who.background_hue)[:, None, None]
    canvas.nx[:] = x * np.float32(-0.45)
    canvas.ny[:] = y * np.float32(-0.45)


def paint_neck(scene: Scene, skin: np.ndarray) -> None:
    """The neck, in the shadow of the chin."""
    x, y = scene.body_x, scene.body_y
    width = np.float32(0.235 + 0.02 * scene.who.face_width)
    flare = np.maximum(y - np.float32(0.72), 0)
    f = np.maximum(np.abs(x) - width - flare * flare * 3, np.float32(0.1) - y)
    nx = np.clip(x / width, -1, 1) * np.float32(0.75)
    cover = scene.canvas.paint(pixels(f), skin * np.float32(0.96), (nx, np.float32(0.1)))
    scene.canvas.darken(cover * (np.float32(0.42) * (1 - smooth(0.62, 0.92, y))))


def paint_shirt(scene: Scene) -> None:
    """Shoulders and a collar, from a deep V (-1) over a round neck (0) to a roll neck (1)."""
    canvas, x, y = scene.canvas, scene.body_x, scene.body_y
    collar = scene.who.collar
    colour = colours.wheel(colours.SHIRT, scene.who.shirt_hue)
    side = np.abs(x)
    shoulders = np.float32(0.80) + np.square(np.maximum(side - np.float32(0.22), 0)) * np.float32(0.42) - y
    deep, high = max(-collar, 0), max(collar, 0)
    depth = np.float32(0.87 + 0.16 * deep - 0.14 * high)
    slope = np.float32(0.25 + 0.75 * deep - 0.17 * high)
    opening = depth - side * slope - np.square(side) * np.float32(1.2 * (1 - deep)) - y
    roll = np.maximum(np.float32(0.80 - 0.1 * high) - y, side - np.float32(0.275))
    f = np.maximum(np.minimum(shoulders, roll) if high > 0.05 else shoulders, opening)
    nx = np.clip(x * np.float32(0.8), -0.7, 0.7)
    canvas.paint(pixels(f), colour, (nx, np.float32(-0.2)))
    hem = np.abs(opening + np.float32(0.035)) - np.float32(0.035)
    hem = np.maximum(hem, f)
    cover = canvas.paint(pixels(hem), colour * np.float32(0.55) + np.float32(0.38), line=0)
    canvas.darken(cover * np.float32(0.06))
    fold = bump(np.abs(side - np.float32(0.52) - (y - np.float32(0.9)) * np.float32(0.6)) * np.float32(40))
    canvas.darken(fold * np.float32(0.16) * (f < 0))
