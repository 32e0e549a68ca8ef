"""Ears and the bare head: outline, surface, blush, freckles and beard."""

from __future__ import annotations

import numpy as np

from .canvas import bump, pixels, smooth
from .parameters import amount
from .scene import Scene

FRECKLES = ((0.11, 0.16), (0.18, 0.21), (0.25, 0.17), (0.31, 0.22), (0.22, 0.27), (0.05, 0.12), (0.30, 0.135))


def paint_ears(scene: Scene, skin: np.ndarray) -> None:
    """Both ears; a turned head shows more of the one it turns away from."""
    head = scene.head
    width, height = 0.075 + 0.035 * scene.who.ears, 0.135 + 0.025 * scene.who.ears
    for side in (-1, 1):
        x = side * (head.half_width + 0.3 * width) - 0.16 * scene.place.yaw
        cx, cy = scene.place.to_picture(x, head.ear_y)
        box = scene.picture_box(cx, cy, width, height)
        dx, dy = scene.x[box] - np.float32(x), scene.y[box] - np.float32(head.ear_y)
        dx = dx - dy * np.float32(0.25 * side)
        r = np.sqrt(np.square(dx / np.float32(width)) + np.square(dy / np.float32(height)))
        normal = np.clip(dx / np.float32(width), -1, 1) * np.float32(0.5), np.float32(-0.1)
        scene.canvas.paint(pixels(r - 1), skin * np.array([1, 0.93, 0.91], np.float32), normal, box)
        scene.canvas.darken(smooth(0.75, 0.3, r) * np.float32(0.28), box)


def outline(scene: Scene) -> np.ndarray:
    """The face's implicit function: an ellipse above, below it anything from an oval to a square jaw."""
    head, who = scene.head, scene.who
    low = np.maximum(scene.y, 0) * np.float32(1 / head.chin)
    high = np.minimum(scene.y, 0) * np.float32(1 / -head.crown)
    square = np.float32(0.38 + 0.42 * who.jaw)
    narrow = np.float32(0.14 - 0.11 * who.jaw)
    cheek = bump(np.square(low - np.float32(0.45)) * np.float32(26)) * np.float32(0.02 + 0.075 * who.cheeks)
    width = np.float32(head.half_width) * (1 - narrow * low * low + cheek)
    x = np.square((scene.x - np.float32(0.16 * scene.place.yaw) * low) / width)
    y = np.square(low + high)
    round_ = np.sqrt(x + y)
    return round_ + square * (np.sqrt(np.sqrt(x * x + y * y)) - round_) - 1


def paint_head(scene: Scene, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bare head; returns its implicit function and its coverage."""
    head, canvas = scene.head, scene.canvas
    f = outline(scene)
    nx = np.clip((scene.x - np.float32(0.18 * scene.place.yaw)) / np.float32(head.half_width * 1.12), -1, 1)
    ny = np.clip((scene.y - np.float32(0.02)) * np.float32(1.25), -0.9, 0.9)
    nx = nx * np.abs(nx) * np.float32(0.55) + nx * np.float32(0.3)
    ny = ny * np.abs(ny) * np.float32(0.65) + ny * np.float32(0.15)
    return f, canvas.paint(pixels(f), skin, (nx, ny))


def paint_blush(scene: Scene) -> None:
    """Rosy cheeks, and freckles over them and the nose."""
    head, canvas = scene.head, scene.canvas
    rosy = np.float32(0.16 + 0.16 * scene.who.blush)
    freckled = amount(scene.who.freckles)
    for side in (-1, 1):
        x, y = side * head.eye_x * 1.28, head.eye_y + 0.225
        box = scene.box(x, y, 0.20, 0.16)
        dx, dy = scene.local(box, x, y)
        cover = smooth(1, 0, np.square(dx / np.float32(0.19)) + np.square(dy / np.float32(0.14)))
        under = canvas.albedo[(slice(None), *box)]
        canvas.tint(cover * rosy, under * np.array([1.02, 0.55, 0.52], np.float32)[:, None, None], box)
        if freckled:
            for fx, fy in FRECKLES:
                fx, fy = side * (fx + 0.01 * side), fy + 0.012 * side
                box = scene.box(fx, fy, 0.03, 0.03)
                dx, dy = scene.local(box, fx, fy)
                spot = smooth(1, 0.2, np.sqrt(dx * dx + dy * dy) * np.float32(1 / 0.023))
                under = canvas.albedo[(slice(None), *box)]
                canvas.tint(spot * np.float32(0.6 * freckled), under * np.array([0.72, 0.5, 0.38], np.float32)[:, None, None], box)


def paint_beard(scene: Scene, f: np.ndarray, colour: np.ndarray) -> None:
    """Stubble to full beard along the jaw of the face ``f``, and a moustache."""
    head, canvas, who = scene.head, scene.canvas, scene.who
    full, upper = amount(who.beard), amount(who.moustache)
    x, y = scene.face_x, scene.y
    if full:
        rows = scene.box(0, (head.chin + 0.05) / 2, head.half_width, 0.45)[0]
        box = (rows, slice(None))
        side = np.abs(x[box]) / np.float32(head.half_width)
        mouth = head.mouth_y + 0.015
        edge = np.float32(mouth) - (mouth - 0.10) * np.square(side) * side * np.float32(1.25)
        dy = y[box] - np.float32(mouth)
        lips = 1 - np.square(x[box] / np.float32(head.mouth_width * 1.12)) - np.square(dy / np.float32(0.085))
        shape = np.maximum(np.maximum(edge - y[box], f[box] * np.float32(0.55) - np.float32(0.05 * full)), lips * np.float32(0.06))
        nx, ny = canvas.nx[box].copy(), np.maximum(canvas.ny[box], np.float32(0.1))
        distance = pixels(shape)
        canvas.paint(distance, colour, (nx, ny), box, alpha=min(1.0, 0.4 + full) * min(1.0, 5 * full), line=0)
        canvas.stroke(distance, 0.0, box, line=0.7 * full)
    if upper:
        cx, cy = 0.0, head.mouth_y - 0.078
        box = scene.box(cx, cy, head.mouth_width * 1.4, 0.14)
        dx, dy = scene.local(box, cx, cy)
        side = np.abs(dx) / np.float32(head.mouth_width * 1.18)
        middle = np.square(side) * np.float32(0.085 - 0.03 * scene.pose.smile) - np.float32(0.004)
        thick = np.float32(0.022 + 0.022 * upper) * (1 - np.square(side)) * (1 - np.float32(0.25) * bump(side * 12))
        canvas.paint(pixels(np.abs(dy - middle) - thick), colour, None, box, alpha=min(1, 3 * upper), line=0.5)
