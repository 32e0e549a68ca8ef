"""Beard and moustache."""

from __future__ import annotations

import numpy as np

from .parameters import amount
from .scene import Scene
from .shapes import both, bump, pixels, smooth


def paint_beard(scene: Scene, face: np.ndarray) -> None:
    """Stubble to a full beard from the ears along the jaw of the outline ``face``, around the mouth."""
    full = amount(scene.who.beard)
    if not full:
        return
    head, canvas = scene.head, scene.canvas
    mouth = head.mouth_y + 0.015
    box = scene.box(0, (head.chin + 0.05) / 2, head.half_width, 0.45)[0], slice(None)
    dx, dy = scene.local(box, 0, mouth)
    side = np.abs(dx) / head.half_width
    below_edge = -dy - (mouth - 0.10) * 1.25 * side * side * side
    near_face = face[box] * 0.55 - smooth(-0.3, 0.1, dy) * (0.05 * full)
    around_lips = (1 - np.square(dx / (head.mouth_width * 1.12)) - np.square(dy / 0.085)) * 0.06
    distance = pixels(both(below_edge, near_face, around_lips))
    normal = canvas.nx[box].copy(), np.maximum(canvas.ny[box], 0.1)
    alpha = min(1.0, 0.4 + full) * min(1.0, 5 * full)
    canvas.paint(distance, scene.beard_colour, normal, box, alpha, line=0)
    canvas.stroke(distance, 0.0, box, line=0.7 * full)


def paint_moustache(scene: Scene) -> None:
    """Two wings under the nose, that rise with a smile."""
    strength = amount(scene.who.moustache)
    if not strength:
        return
    head = scene.head
    y = head.mouth_y - 0.078
    box = scene.box(0, y, head.mouth_width * 1.4, 0.14)
    dx, dy = scene.local(box, 0, y)
    u = np.abs(dx) / (head.mouth_width * 1.18)
    middle = u * u * (0.085 - 0.03 * scene.pose.smile) - 0.004
    thick = 0.022 * (1 + strength) * (1 - u * u) * (1 - 0.25 * bump(u * 12))
    wings = np.abs(dy - middle) - thick
    scene.canvas.paint(pixels(wings), scene.beard_colour, None, box, min(1, 3 * strength), line=0.5)
