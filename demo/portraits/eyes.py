"""Eyes and brows."""

from __future__ import annotations

import numpy as np

from . import colours
from .scene import Scene
from .shapes import both, length, pixels, smooth

WHITE = np.array([0.97, 0.96, 0.94], np.float32)
PUPIL = np.array([0.05, 0.04, 0.05], np.float32)
BROW_WIDTH = 0.155


def paint_eyes(scene: Scene) -> None:
    """Both eyes."""
    for side in (-1, 1):
        _paint_eye(scene, side)


def _paint_eye(scene: Scene, side: int) -> None:
    """White, iris, pupil and highlight in an almond, and the lids around it, on the ``side`` -1 or 1."""
    head, canvas = scene.head, scene.canvas
    width, height = head.eye_width, head.eye_height
    box = scene.box(side * head.eye_x, head.eye_y, width * 1.35, height * 1.9)
    dx, dy = scene.local(box, side * head.eye_x, head.eye_y)
    socket = length(dx / width, dy / (height * 1.5))
    dy = dy + dx * (0.20 * side * scene.who.eye_tilt)
    u = np.abs(dx) / width
    pointed = 0.5 * scene.angularity
    arch = 1 - u * u * (1 - pointed) - u * pointed
    upper = -dy - height * arch
    lens = both(upper, dy - 0.86 * height * arch)

    canvas.darken(smooth(1.5, 0.6, socket) * 0.10, box)
    cover = canvas.paint(pixels(lens), WHITE, None, box, line=0.75)
    _paint_iris(scene, box, dx, dy, lens)
    canvas.darken(cover * smooth(-0.55, -1.0, dy / height) * 0.45, box)

    lashes = both(np.abs(upper + 0.006) - 0.020 * np.clip(1.25 - u * u, 0, 1), u - 1.12, dy - 0.02)
    canvas.paint(pixels(lashes), scene.skin * 0.22, None, box, line=0)
    crease = np.abs(dy + height * (arch + 0.42))
    canvas.darken(smooth(0.020, 0, crease) * smooth(1.0, 0.6, u) * 0.30, box)
    under = np.abs(dy - height * (0.86 * arch + 0.10))
    canvas.darken(smooth(0.022, 0, under) * smooth(1.1, 0.6, u) * 0.20, box)


def _paint_iris(scene: Scene, box: tuple[slice, slice], dx: np.ndarray, dy: np.ndarray, lens: np.ndarray) -> None:
    """The iris that looks where the gaze goes, lighter below, with a dark ring; all of it within ``lens``."""
    head, canvas, pose = scene.head, scene.canvas, scene.pose
    colour = colours.ramp(colours.IRIS, scene.who.iris)
    radius = 0.90 * head.eye_height
    dx = (dx - 0.30 * head.eye_width * pose.gaze_x) / radius
    dy = (dy - 0.22 * head.eye_height * pose.gaze_y) / radius
    r = length(dx, dy)
    glow = colour[:, None, None] * (0.8 + 0.55 * smooth(-0.6, 1.0, dy))
    for reach, paint in ((1.0, colour * 0.45), (0.82, glow), (0.46, PUPIL)):
        canvas.paint(pixels(both((r - reach) * radius, lens)), paint, None, box, line=0)
    spark = (length(dx + 0.34, dy + 0.36) - 0.30) * radius
    canvas.gloss[box] += smooth(0.5, -0.5, both(2 * spark, lens) / radius) * 1.2 * (lens < 0)
    canvas.paint(pixels(both(spark, lens)), WHITE, None, box, line=0)


def paint_brows(scene: Scene) -> None:
    """Both brows: strokes that taper outwards."""
    head, who = scene.head, scene.who
    for side in (-1, 1):
        x = side * (head.eye_x + 0.012)
        box = scene.box(x, head.brow_y, BROW_WIDTH * 1.1, 0.11)
        dx, dy = scene.local(box, x, head.brow_y)
        u = dx * (side / BROW_WIDTH)
        middle = u * (0.045 * u + 0.062 * who.brow_angle)
        thick = (0.030 + 0.015 * who.brow_thickness) * (1 - 0.35 * u) * np.sqrt(np.maximum(1 - u * u * u * u, 0))
        brow = np.abs(dy - middle) - thick + np.maximum(np.abs(u) - 1, 0)
        scene.canvas.paint(pixels(brow), scene.brow_colour, None, box, line=0)
