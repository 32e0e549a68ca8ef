"""Glasses."""

from __future__ import annotations

import numpy as np

from .parameters import amount
from .scene import Scene
from .shapes import both, length, pixels, smooth

RIM = np.array([0.17, 0.12, 0.11], np.float32)
GLASS = np.array([0.97, 0.96, 0.94], np.float32)


def paint_glasses(scene: Scene) -> None:
    """Two rims, from square to round, a bridge and the arms; stronger ones have thicker rims."""
    strength = amount(scene.who.glasses)
    if not strength:
        return
    head, canvas = scene.head, scene.canvas
    alpha, line = min(1.0, 3 * strength), 0.013 + 0.008 * strength
    roundness = amount(scene.who.glasses_round, -1)
    width, height = head.eye_x - 0.022, 0.135 + 0.035 * roundness
    x, y = head.eye_x + 0.012, head.eye_y + 0.02

    box = scene.box(0, y, 0.06, 0.06)
    dx, dy = scene.local(box, 0, y - 0.02)
    canvas.paint(pixels(both(np.abs(dy) - line, np.abs(dx) - 0.04)), RIM, None, box, alpha, line=0)
    for side in (-1, 1):
        box = scene.box(side * x, y, width * 1.15, height * 1.25)
        dx, dy = scene.local(box, side * x, y)
        px, py = np.square(dx / width), np.square(dy / height)
        square = np.sqrt(np.sqrt(length(px * px, py * py)))
        rim = (square + roundness * (np.sqrt(px + py) - square) - 1) * min(width, height)
        canvas.tint(smooth(0.01, -0.01, rim) * (0.10 * alpha), GLASS, box)
        streak = smooth(0.035, 0.015, np.abs(dx + dy * 0.8 + 0.05))
        canvas.gloss[box] += streak * smooth(0, -0.03, rim) * (0.10 * alpha)
        canvas.paint(pixels(np.abs(rim) - line), RIM, None, box, alpha, line=0)

        hinge = x + width
        box = scene.box(side * (hinge + head.half_width) / 2, y - 0.03, 0.12, 0.06)
        dx, dy = scene.local(box, 0, y - 0.03)
        behind = np.abs(scene.x[box]) - head.half_width
        canvas.paint(pixels(both(np.abs(dy) - line, hinge - np.abs(dx), behind)), RIM, None, box, alpha, line=0)
