"""The techniques of a style: each changes a picture [3, size, size] as far as the style has an amount of it.

Their lengths are pixels of a picture of 128.
"""

from __future__ import annotations

import math

import numpy as np

from . import colours
from .canvas import Canvas
from .light import flat, ink, palette, values
from .parameters import amount, between
from .shapes import bump, length, smooth
from .style import Style
from .texture import grid, noise

NIGHT = (0.02, 0.01, 0.06)


def duotone(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Values mapped between the palette's two colours; lines and hatches stand on bare paper."""
    strength = amount(style.duotone)
    if not strength:
        return picture
    grey = values(picture, canvas)
    bare = min(1, 4 * max(amount(style.outline), amount(style.hatching)))
    grey += bare * canvas.wall * (1 - amount(style.ink_light) - grey)
    grey = flat(grey, style)
    print_ = [dark + grey * (bright - dark) for dark, bright in zip(*palette(style), strict=True)]
    return _mixed(picture, print_, strength)


def halftone(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Round dots of a darker colour on a lighter one, larger where it is darker."""
    strength = amount(style.halftone)
    if not strength:
        return picture
    cell = between(5, 7.5, style.texture_size)
    along, across = (place / cell for place in _rotated(canvas, style))
    away = length(along - np.round(along), across - np.round(across))
    density = (1 - values(picture, canvas)) * (1 - 0.5 * canvas.wall)
    dots = np.clip((np.sqrt(np.maximum(density, 0)) * 0.62 - away) * (0.8 * cell) + 0.5, 0, 1)
    dots = np.maximum(dots, smooth(0.72, 0.88, density))
    printed = 0.45 * amount(style.duotone)
    for channel, (dark, bright) in enumerate(zip(*palette(style), strict=True)):
        paper = np.minimum(picture[channel] * 1.28 + 0.10, 1) * (1 - printed) + printed * bright
        dot = picture[channel] * (0.66 * (1 - printed)) + printed * dark
        picture[channel] += strength * (paper + dots * (dot - paper) - picture[channel])
    return picture


def hatching(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Lines that thicken into the dark, or with light ink into the light, crossed where there is most of it."""
    strength = amount(style.hatching)
    if not strength:
        return picture
    inverse = amount(style.ink_light)
    grey = values(picture, canvas)
    density = (1 - grey + inverse * (2 * grey - 1)) * (1 - 0.6 * canvas.wall)
    period = between(5, 8, style.texture_size)
    sway = noise(canvas.size, 6, 3) * 2
    along, across = _rotated(canvas, style)
    marks = _lines(along + sway, period, density * 1.5 - 0.42)
    marks = np.maximum(marks, _lines(across + sway, period, density * 1.5 - 0.95))
    marks = np.maximum(marks, smooth(0.70, 0.82, density))
    dark, bright = palette(style)
    page = _mixed(picture, bright + (dark - bright) * inverse, 0.86 * strength)
    return _mixed(page, ink(style), 0.92 * strength * marks)


def watercolour(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Thin washes with pigment gathering at the edges, on rough paper that stays bare at the border."""
    strength = amount(style.watercolour)
    if not strength:
        return picture
    x, y = grid(canvas.size)
    cloud, grain = noise(canvas.size, 7, 5), noise(canvas.size, 30, 6)
    pool = bump(np.square(_to_contour(canvas) * 0.55))
    pigment = 0.80 + 0.26 * cloud + 0.10 * grain + 0.45 * pool
    pigment *= smooth(0.99, 0.86, np.maximum(np.abs(x), np.abs(y)) + 0.07 * cloud)
    paper = colours.hue(style.light_hue, 0.05, between(0.80, 0.99, style.paper))
    washes = [sheet * (1 + grain * 0.02) - (1 - p) * pigment * 0.92 for sheet, p in zip(paper, picture, strict=True)]
    return np.clip(_mixed(picture, washes, strength), 0, 1)


def neon(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Glowing tubes along the contours, of two hues from top to bottom, in the dark."""
    strength = amount(style.neon)
    if not strength:
        return picture
    away = _to_contour(canvas)
    tube = smooth(2.0, 0.7, away)
    glow = bump(away * 0.34) * smooth(14, 4, away) * 0.6 + colours.luminance(picture) * 0.10
    down = np.clip(grid(canvas.size)[1] * 0.6 + 0.5, 0, 1)
    tops, ends = colours.hue(style.shadow_hue, 0.85, 1), colours.hue(style.light_hue, 0.85, 1)
    for channel, (top, end) in enumerate(zip(tops, ends, strict=True)):
        lamp = top + down * (end - top)
        shining = picture[channel] * 0.20 + NIGHT[channel] + glow * lamp + tube * (0.35 + 0.65 * lamp)
        picture[channel] += strength * (np.minimum(shining, 1) - picture[channel])
    return picture


def outline(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Ink along the contours, about 2 to 4 pixels wide, swelling here and there."""
    strength = amount(style.outline)
    if not strength:
        return picture
    half = (0.55 + 1.5 * strength) * canvas.unit * (1 + 0.3 * noise(canvas.size, 9, 4))
    cover = np.clip(half - canvas.line + 0.5, 0, 1) * min(1, 4 * strength)
    return _mixed(picture, ink(style), cover)


def mosaic(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Square blocks of one colour, 4 to 8 pixels wide, centred on the middle."""
    strength = amount(style.mosaic)
    if not strength:
        return picture
    size, block = canvas.size, between(4, 8, style.texture_size) * canvas.unit
    count = math.ceil(size / 2 / block)
    edges = np.unique(np.clip(np.round(size / 2 + block * np.arange(-count, count)), 0, size - 1).astype(int))
    lengths = np.diff(edges, append=size)
    means = np.add.reduceat(np.add.reduceat(picture, edges, axis=1), edges, axis=2)
    means /= np.outer(lengths, lengths).astype(np.float32)
    blocks = np.repeat(np.repeat(means, lengths, axis=1), lengths, axis=2)
    return _mixed(picture, blocks, strength)


IN_ORDER = (duotone, halftone, hatching, watercolour, neon, outline, mosaic)


def _mixed(picture: np.ndarray, other, cover) -> np.ndarray:
    """``picture`` with ``other``, a picture or a colour [3], mixed in by ``cover``, a number or [size, size]."""
    for below, channel in zip(picture, other, strict=True):
        below += cover * (channel - below)
    return picture


def _to_contour(canvas: Canvas) -> np.ndarray:
    """The distance [size, size] to the nearest contour."""
    return np.maximum(canvas.line, 0) / canvas.unit


def _rotated(canvas: Canvas, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates along and across the texture's angle, each [size, size]."""
    angle = math.pi / 4 * (1 + 0.6 * style.texture_angle)
    x, y = grid(canvas.size)
    cos, sin = 64 * math.cos(angle), 64 * math.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _lines(position: np.ndarray, period: float, density: np.ndarray) -> np.ndarray:
    """Coverage [size, size] by a line every ``period`` of ``position``, that fills ``density`` of it."""
    turns = position / period
    away = np.abs(turns - np.round(turns)) * 2
    return np.clip((density - away) * (period / 2.4) + 0.5, 0, 1) * smooth(0, 0.15, density)
