"""Eyes, brows and glasses."""

from __future__ import annotations

import numpy as np

from . import colours
from .canvas import pixels, smooth
from .parameters import amount
from .scene import Scene

WHITE = np.array([0.97, 0.96, 0.94], np.float32)
PUPIL = np.array([0.05, 0.04, 0.05], np.float32)


def paint_eyes(scene: Scene, skin: np.ndarray) -> None:
    """White, iris, pupil, highlight, lids and lashes of both eyes."""
    head, canvas, who = scene.head, scene.canvas, scene.who
    width, height = head.eye_width, head.eye_height
    iris = colours.ramp(colours.IRIS, who.iris)
    radius = height * 0.90
    gaze_x, gaze_y = 0.30 * width * scene.pose.gaze_x, 0.22 * height * scene.pose.gaze_y
    for side in (-1, 1):
        box = scene.box(side * head.eye_x, head.eye_y, width * 1.35, height * 1.9)
        dx, dy = scene.local(box, side * head.eye_x, head.eye_y)
        tilted = dy + dx * np.float32(0.20 * side * who.eye_tilt)
        u = np.abs(dx) / np.float32(width)
        arch = 1 - u * u * (1 - np.float32(scene.angularity) * 0.5) - u * np.float32(0.5 * scene.angularity)
        upper = -tilted - np.float32(height) * arch
        lower = tilted - np.float32(height * 0.86) * arch
        lens = np.maximum(upper, lower)

        socket = smooth(1.5, 0.6, np.sqrt(np.square(dx / np.float32(width)) + np.square(dy / np.float32(height * 1.5))))
        canvas.darken(socket * np.float32(0.10), box)
        inside = canvas.paint(pixels(lens), WHITE, None, box, line=0.75)
        canvas.darken(inside * smooth(0.5, -0.2, 1 + upper / np.float32(height)) * np.float32(0.0), box)
        r = np.sqrt(np.square(dx - np.float32(gaze_x)) + np.square(tilted - np.float32(gaze_y)))
        ring = iris * np.float32(0.45)
        canvas.paint(pixels(np.maximum(r - np.float32(radius), lens)), ring, None, box, line=0)
        glow = smooth(-0.6, 1.0, (tilted - np.float32(gaze_y)) * np.float32(1 / radius))
        inner = iris[:, None, None] * (np.float32(0.8) + np.float32(0.55) * glow)
        canvas.paint(pixels(np.maximum(r - np.float32(radius * 0.82), lens)), inner, None, box, line=0)
        canvas.paint(pixels(np.maximum(r - np.float32(radius * 0.46), lens)), PUPIL, None, box, line=0)
        lid_shadow = inside * smooth(-0.55, -1.0, tilted * np.float32(1 / height)) * np.float32(0.45)
        canvas.darken(lid_shadow, box)

        hx, hy = dx - np.float32(gaze_x - 0.34 * radius), tilted - np.float32(gaze_y - 0.36 * radius)
        spark = np.sqrt(hx * hx + hy * hy) - np.float32(0.30 * radius)
        canvas.gloss[box] += np.float32(1.2) * smooth(0.5 * radius, -0.5 * radius, np.maximum(spark * 2, lens)) * (lens < 0)
        canvas.paint(pixels(np.maximum(spark, lens)), WHITE, None, box, line=0)

        lash = np.float32(0.020) * np.clip(1.25 - u * u, 0, 1)
        skin_dark = skin * np.float32(0.22)
        band = np.maximum(np.abs(upper + lower * 0 + np.float32(0.006)) - lash, u - np.float32(1.12))
        canvas.paint(pixels(np.maximum(band, tilted - np.float32(0.02))), skin_dark, None, box, line=0)
        crease = np.abs(tilted + np.float32(height) * (arch + np.float32(0.42))) * np.float32(1 / 0.020)
        canvas.darken(smooth(1, 0, crease) * smooth(1.0, 0.6, u) * np.float32(0.30), box)
        under = np.abs(tilted - np.float32(height) * (arch * np.float32(0.86) + np.float32(0.10))) * np.float32(1 / 0.022)
        canvas.darken(smooth(1, 0, under) * smooth(1.1, 0.6, u) * np.float32(0.20), box)


def paint_brows(scene: Scene, colour: np.ndarray) -> None:
    """Both brows: strokes that taper outwards."""
    head, who = scene.head, scene.who
    width = 0.155
    for side in (-1, 1):
        x, y = side * (head.eye_x + 0.012), head.brow_y
        box = scene.box(x, y, width * 1.1, 0.11)
        dx, dy = scene.local(box, x, y)
        u = dx * np.float32(side / width)
        arch = np.float32(0.045) * u * u + np.float32(0.062 * who.brow_angle) * u
        thick = np.float32(0.030 + 0.015 * who.brow_thickness) * (1 - np.float32(0.35) * u)
        shape = np.abs(dy - arch) - thick * np.sqrt(np.maximum(1 - np.square(np.square(u)), 0)) + np.maximum(np.abs(u) - 1, 0)
        scene.canvas.paint(pixels(shape), colour, None, box, line=0)


def paint_glasses(scene: Scene) -> None:
    """Two rims, from square to round, a bridge and the arms."""
    strength = amount(scene.who.glasses)
    if not strength:
        return
    head, canvas = scene.head, scene.canvas
    roundness = np.float32(amount(scene.who.glasses_round, -1))
    width, height = head.eye_x - 0.022, 0.135 + 0.035 * float(roundness)
    y = head.eye_y + 0.02
    line = np.float32(0.013 + 0.008 * strength)
    alpha = min(1.0, 3 * strength)
    rim = np.array([0.17, 0.12, 0.11], np.float32)
    for side in (-1, 1):
        x = side * (head.eye_x + 0.012)
        box = scene.box(x, y, width * 1.15, height * 1.25)
        dx, dy = scene.local(box, x, y)
        px, py = np.square(dx / np.float32(width)), np.square(dy / np.float32(height))
        ellipse = np.sqrt(px + py)
        square = np.sqrt(np.sqrt(np.square(px * px) + np.square(py * py)))
        square = np.sqrt(square)
        r = (square + roundness * (ellipse - square) - 1) * np.float32(min(width, height))
        canvas.tint(smooth(0.01, -0.01, r) * np.float32(0.10 * alpha), WHITE, box)
        shine = smooth(0.035, 0.015, np.abs(dx + dy * np.float32(0.8) + np.float32(0.05))) * smooth(0, -0.03, r)
        canvas.gloss[box] += shine * np.float32(0.10 * alpha)
        canvas.paint(pixels(np.abs(r) - line), rim, None, box, alpha, line=0)
    box = scene.box(0, y, 0.06, 0.06)
    dx, dy = scene.local(box, 0, y - 0.02)
    bridge = np.maximum(np.abs(dy + 8 * dx * dx * 0 + np.float32(0.0)) - line, np.abs(dx) - np.float32(0.04))
    canvas.paint(pixels(bridge), rim, None, box, alpha, line=0)
    for side in (-1, 1):
        edge = head.eye_x + 0.012 + width
        x = side * (edge + head.half_width) / 2
        box = scene.box(x, y - 0.03, 0.12, 0.06)
        fx, dy = np.abs(scene.face_x[box]), scene.y[box] - np.float32(y - 0.03)
        hx = np.abs(scene.x[box]) - np.float32(head.half_width)
        arm = np.maximum(np.maximum(np.abs(dy) - line, np.float32(edge) - fx), hx)
        canvas.paint(pixels(arm), rim, None, box, alpha, line=0)
