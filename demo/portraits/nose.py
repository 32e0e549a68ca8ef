"""The nose."""

from __future__ import annotations

import math

import numpy as np

from .anatomy import NOSE_LIFT
from .scene import Scene
from .shapes import both, bump, pixels, smooth

TIP_TINT = np.array([1.0, 0.72, 0.68], np.float32)
NOSTRIL_TINT = np.array([0.45, 0.28, 0.26], np.float32)


def paint_nose(scene: Scene) -> None:
    """Relief of bridge and tip, nostrils, the shadow below, and the line that a drawing would have there."""
    head, canvas = scene.head, scene.canvas
    width, tip = head.nose_width, head.nose_y
    box = scene.box(0, (tip + head.eye_y) / 2, 0.24, (tip - head.eye_y) / 2 + 0.16, NOSE_LIFT / 2)
    x, y = scene.local(box, 0, 0)
    lifted = smooth(head.eye_y - 0.1, tip, y) * (NOSE_LIFT * math.sin(scene.place.yaw))
    dx, dy = (x - lifted) / width, (y - tip) / width
    u, sideways = np.abs(dx), np.square(dx)

    ball = np.square(bump(sideways + np.square(dy + 0.25)))
    ridge = bump(2.2 * sideways) * smooth(head.eye_y - 0.14, head.eye_y + 0.10, y) * smooth(0.9, -0.6, dy)
    canvas.nx[box] += dx * (ball * 0.62 + ridge * 0.34)
    canvas.ny[box] += (dy + 0.2) * ball * 0.55
    canvas.tint(ball * 0.16, scene.skin * TIP_TINT, box)
    canvas.gloss[box] += bump(9 * sideways + np.square(dy * 3 + 1.3)) * 0.13
    canvas.darken(bump(sideways + np.square((dy - 1) * 2.6)) * 0.20, box)

    nostrils = np.square(u - 0.62) * 6 + np.square(dy - 0.52) * 22
    canvas.tint(smooth(1.0, 0.25, nostrils) * 0.72, scene.skin * NOSTRIL_TINT, box)
    below = dy - 0.78 + sideways * 0.35
    canvas.stroke(pixels(both(np.abs(below) * width - 0.004, (u - 0.8) * width)), 0.2, box)
