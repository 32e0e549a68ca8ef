"""Ears, the bare head and its cheeks."""

from __future__ import annotations

import numpy as np

from .parameters import amount
from .scene import Scene
from .shapes import bump, length, pixels, smooth

EAR_TINT = np.array([1, 0.93, 0.91], np.float32)
BLUSH = (1.02, 0.55, 0.52)
FRECKLE = (0.72, 0.5, 0.38)
FRECKLES = ((0.11, 0.16), (0.18, 0.21), (0.25, 0.17), (0.31, 0.22), (0.22, 0.27), (0.05, 0.12), (0.30, 0.135))
FRECKLE_RADIUS = 0.023


def paint_ears(scene: Scene) -> None:
    """Both ears; a turned head shows more of the one it turns away from."""
    head, canvas = scene.head, scene.canvas
    width, height = 0.075 + 0.035 * scene.who.ears, 0.135 + 0.025 * scene.who.ears
    for side in (-1, 1):
        x = side * (head.half_width + 0.3 * width) - 0.16 * scene.place.yaw
        box = scene.picture_box(*scene.place.to_picture(x, head.ear_y), width, height)
        dy = scene.y[box] - head.ear_y
        dx = scene.x[box] - x - dy * (0.25 * side)
        r = length(dx / width, dy / height)
        normal = np.clip(dx / width, -1, 1) * 0.5, -0.1
        canvas.paint(pixels(r - 1), scene.skin * EAR_TINT, normal, box)
        canvas.darken(smooth(0.75, 0.3, r) * 0.28, box)


def outline(scene: Scene) -> np.ndarray:
    """The face's implicit function [size, size]: half an ellipse above, anything from an oval to a square jaw below."""
    head, who = scene.head, scene.who
    low = np.maximum(scene.y, 0) * (1 / head.chin)
    high = np.minimum(scene.y, 0) * (1 / head.crown)
    cheek = bump(np.square(low - 0.45) * 26) * (0.02 + 0.075 * who.cheeks)
    width = head.half_width * (1 - (0.14 - 0.11 * who.jaw) * low * low + cheek)
    x = np.square((scene.x - 0.16 * scene.place.yaw * low) / width)
    y = np.square(low + high)
    oval = np.sqrt(x + y)
    square = np.sqrt(length(x, y))
    return oval + (0.38 + 0.42 * who.jaw) * (square - oval) - 1


def paint_head(scene: Scene, face: np.ndarray) -> np.ndarray:
    """The bare head of the outline ``face``; returns its coverage [size, size]."""
    nx = np.clip((scene.x - 0.18 * scene.place.yaw) / (scene.head.half_width * 1.12), -1, 1)
    ny = np.clip((scene.y - 0.02) * 1.25, -0.9, 0.9)
    normal = nx * (np.abs(nx) * 0.55 + 0.3), ny * (np.abs(ny) * 0.65 + 0.15)
    return scene.canvas.paint(pixels(face), scene.skin, normal)


def paint_cheeks(scene: Scene) -> None:
    """A blush on both cheeks, and freckles."""
    head, canvas = scene.head, scene.canvas
    freckled = amount(scene.who.freckles)
    for side in (-1, 1):
        x, y = side * head.eye_x * 1.28, head.eye_y + 0.225
        box = scene.box(x, y, 0.20, 0.16)
        dx, dy = scene.local(box, x, y)
        cover = smooth(1, 0, np.square(dx / 0.19) + np.square(dy / 0.14))
        canvas.stain(cover * (0.16 + 0.16 * scene.who.blush), BLUSH, box)
        for x, y in FRECKLES if freckled else ():
            x, y = side * x + 0.01, y + 0.012 * side
            box = scene.box(x, y, FRECKLE_RADIUS, FRECKLE_RADIUS)
            spot = smooth(1, 0.2, length(*scene.local(box, x, y)) / FRECKLE_RADIUS)
            canvas.stain(spot * 0.6 * freckled, FRECKLE, box)
