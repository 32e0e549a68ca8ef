"""Nose and mouth."""

from __future__ import annotations

import numpy as np

from .canvas import bump, pixels, smooth
from .parameters import amount
from .scene import Scene

TEETH = np.array([0.95, 0.93, 0.90], np.float32)
INSIDE = np.array([0.33, 0.10, 0.11], np.float32)
NOSE_LIFT = 0.10


def paint_nose(scene: Scene, skin: np.ndarray) -> None:
    """Relief of bridge and tip, nostrils and the shadow below."""
    head, canvas = scene.head, scene.canvas
    width, tip = head.nose_width, head.nose_y
    lean = NOSE_LIFT * np.sin(scene.place.yaw)
    box = scene.box(0, (tip + head.eye_y) / 2, 0.24, (tip - head.eye_y) / 2 + 0.16, NOSE_LIFT / 2)
    x, y = scene.face_x[box], scene.y[box]
    out = smooth(head.eye_y - 0.1, tip, y)
    dx, dy = (x - np.float32(lean) * out) * np.float32(1 / width), (y - np.float32(tip)) * np.float32(1 / width)

    ball = bump(np.square(dx) + np.square(dy + np.float32(0.25)))
    ridge = bump(2.2 * np.square(dx)) * smooth(head.eye_y - 0.14, head.eye_y + 0.10, y) * smooth(0.9, -0.6, dy)
    canvas.nx[box] += dx * (ball * ball * np.float32(0.62) + ridge * np.float32(0.34))
    canvas.ny[box] += (dy + np.float32(0.2)) * ball * ball * np.float32(0.55)
    canvas.tint(ball * ball * np.float32(0.16), skin * np.array([1.0, 0.72, 0.68], np.float32), box)
    canvas.gloss[box] += bump(np.square(dx * 3) + np.square(dy * 3 + 1.3)) * np.float32(0.13)

    below = bump(np.square(dx * np.float32(0.9)) * 1.2 + np.square((dy - np.float32(1.0)) * np.float32(2.6)))
    canvas.darken(below * np.float32(0.20), box)
    u = np.abs(dx)
    wing = np.square(u - np.float32(0.62)) * np.float32(6) + np.square(dy - np.float32(0.52)) * np.float32(22)
    canvas.tint(smooth(1.0, 0.25, wing) * np.float32(0.72), skin * np.array([0.45, 0.28, 0.26], np.float32), box)
    under = dy - np.float32(0.78) + np.square(dx) * np.float32(0.35)
    canvas.stroke(pixels(np.maximum(np.abs(under * width) - 0.004, (u - np.float32(0.8)) * width)), 0.2, box)


def paint_mouth(scene: Scene, skin: np.ndarray) -> None:
    """Two lips along a smiling or a sad line, and between them, when open, teeth."""
    head, canvas, who, pose = scene.head, scene.canvas, scene.who, scene.pose
    smile, opened = pose.smile, amount(pose.mouth_open)
    width = head.mouth_width * (1 + 0.10 * smile)
    box = scene.box(0, head.mouth_y, width * 1.25, 0.20)
    dx, dy = scene.local(box, 0, head.mouth_y)
    u = np.abs(dx) / np.float32(width)
    arch = np.maximum(1 - u * u, 0) * (1 - np.float32(0.4 * scene.angularity)) + np.maximum(1 - u, 0) * np.float32(0.4 * scene.angularity)
    line = -np.float32(0.085 * smile) * u * u + np.float32(0.03 * smile)
    full = 1 + 0.45 * who.lip_fullness
    gap = np.float32(0.030 * min(1, 4 * opened) + 0.055 * opened) * arch
    bow = 1 - np.float32(0.28) * bump(u * u * 40)
    upper = np.float32(0.045 * full) * arch * bow + np.float32(0.3) * gap
    lower = np.float32(0.062 * full) * arch + gap
    lips = np.maximum(line - upper - dy, dy - line - lower) + np.maximum(u - 1, 0) * np.float32(width)

    pink = skin * np.array([0.86, 0.52, 0.52], np.float32) + np.array([0.06, 0.0, 0.01], np.float32)
    shadow = bump(np.square((dy - line - lower - np.float32(0.035)) * np.float32(32)) + 4 * u * u)
    canvas.darken(shadow * np.float32(0.16), box)
    cover = canvas.paint(pixels(lips), pink, None, box, line=0.45)
    canvas.darken(cover * smooth(0.012, -0.02, dy - line) * np.float32(0.20), box)
    shine = bump(np.square((dy - line - lower * np.float32(0.55) - gap * np.float32(0.4)) * np.float32(48)) + 5 * u * u)
    canvas.gloss[box] += cover * shine * np.float32(0.16)

    between = np.maximum(line - np.float32(0.3) * gap - dy, dy - line - gap * np.float32(0.92)) + np.maximum(u - np.float32(0.92), 0)
    if opened:
        canvas.paint(pixels(between), INSIDE, None, box, alpha=min(1, 4 * opened), line=0)
        teeth = np.maximum(between + np.float32(0.004), dy - line - gap * np.float32(0.38))
        canvas.paint(pixels(teeth), TEETH, None, box, alpha=min(1, 4 * opened), line=0)
    seam = np.maximum(np.abs(dy - line) - np.float32(0.009), u * np.float32(width) - np.float32(width * 1.02))
    closed = 1 - min(1, 4 * opened)
    if closed:
        canvas.paint(pixels(seam), skin * np.array([0.42, 0.22, 0.22], np.float32), None, box, alpha=closed * 0.85, line=0)
        canvas.stroke(pixels(seam), 0.3, box, closed)
