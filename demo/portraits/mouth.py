"""The mouth."""

from __future__ import annotations

import numpy as np

from .parameters import amount
from .scene import Scene
from .shapes import both, bump, pixels, smooth

TEETH = np.array([0.95, 0.93, 0.90], np.float32)
INSIDE = np.array([0.33, 0.10, 0.11], np.float32)
LIP_TINT = np.array([0.86, 0.52, 0.52], np.float32)
LIP_RED = np.array([0.06, 0.0, 0.01], np.float32)
SEAM_TINT = np.array([0.42, 0.22, 0.22], np.float32)


def paint_mouth(scene: Scene) -> None:
    """Two lips along a smiling or a sad line, and between them, when open, teeth."""
    head, canvas, smile = scene.head, scene.canvas, scene.pose.smile
    opened = amount(scene.pose.mouth_open)
    parted = min(1, 4 * opened)
    width = head.mouth_width * (1 + 0.10 * smile)
    box = scene.box(0, head.mouth_y, width * 1.25, 0.20)
    dx, dy = scene.local(box, 0, head.mouth_y)
    u = np.abs(dx) / width
    dy = dy - smile * (0.03 - 0.085 * u * u)
    pointed = 0.4 * scene.angularity
    arch = np.maximum(1 - u * u, 0) * (1 - pointed) + np.maximum(1 - u, 0) * pointed
    gap = (0.030 * parted + 0.055 * opened) * arch
    full = 1 + 0.45 * scene.who.lip_fullness
    upper = 0.045 * full * arch * (1 - 0.28 * bump(u * u * 40)) + 0.3 * gap
    lower = 0.062 * full * arch + gap

    canvas.darken(bump(np.square((dy - lower - 0.035) * 32) + 4 * u * u) * 0.16, box)
    lips = both(-upper - dy, dy - lower) + np.maximum(u - 1, 0) * width
    cover = canvas.paint(pixels(lips), scene.skin * LIP_TINT + LIP_RED, None, box, line=0.45)
    canvas.darken(cover * smooth(0.012, -0.02, dy) * 0.20, box)
    canvas.gloss[box] += cover * bump(np.square((dy - lower * 0.55 - gap * 0.4) * 48) + 5 * u * u) * 0.16
    if parted:
        hole = both(-0.3 * gap - dy, dy - gap * 0.92) + np.maximum(u - 0.92, 0)
        canvas.paint(pixels(hole), INSIDE, None, box, parted, line=0)
        canvas.paint(pixels(both(hole + 0.004, dy - gap * 0.38)), TEETH, None, box, parted, line=0)
    if parted < 1:
        seam = pixels(both(np.abs(dy) - 0.009, (u - 1.02) * width))
        canvas.paint(seam, scene.skin * SEAM_TINT, None, box, 0.85 * (1 - parted), line=0)
        canvas.stroke(seam, 0.3, box, 1 - parted)
