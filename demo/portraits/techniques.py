"""What turns a painted canvas into a picture in a style; pictures are [3, size, size]."""

from __future__ import annotations

import math

import numpy as np

from . import colours
from .canvas import Canvas, bump, smooth
from .parameters import amount, between
from .style import Style
from .texture import grid, noise

SHADOW_TINT = (0.92, 1.0, 1.05)


def staircase(x: np.ndarray, levels: float, flatness: float) -> np.ndarray:
    """``x`` in 0..1 in ``levels`` flat tones with narrow slopes between them, mixed in by ``flatness``."""
    steps = x * np.float32(levels)
    whole = np.floor(steps)
    t = np.clip((steps - whole - np.float32(0.5)) * np.float32(4.5) + np.float32(0.5), 0, 1)
    return x + np.float32(flatness) * ((whole + t) * np.float32(1 / levels) - x)


def light(canvas: Canvas, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Tone and highlights [size, size] under a soft lamp."""
    across, down = 0.62 * style.light_x, 0.62 * style.light_y
    ahead = math.sqrt(1 - min(across**2 + down**2, 0.9))
    nx, ny = canvas.nx, canvas.ny
    facets = np.float32(amount(style.angularity))
    if facets:
        falling, rising = np.round((nx + ny) * 2), np.round((nx - ny) * 2)
        nx = nx + facets * ((falling + rising) * np.float32(0.25) - nx)
        ny = ny + facets * ((falling - rising) * np.float32(0.25) - ny)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, np.float32(0.02)))
    lambert = nx * np.float32(across) + ny * np.float32(down) + nz * np.float32(ahead)
    lambert = np.clip(lambert, 0, 1)
    hard = 0.22 * amount(style.contrast)
    tone = (np.float32(0.40 - hard) + np.float32(0.76 + 1.4 * hard) * lambert) * canvas.shade
    return tone, canvas.gloss * (np.float32(0.3) + np.float32(0.9) * lambert * lambert)


def colour(canvas: Canvas, style: Style) -> np.ndarray:
    """Albedo under light, in continuous or flat tones, with the saturation and contrast of ``style``."""
    tone, gloss = light(canvas, style)
    flatness = amount(style.flatness)
    if flatness:
        tone = staircase(tone, between(1.6, 4.5, style.tones), flatness)
        gloss = gloss + np.float32(flatness) * (smooth(0.16, 0.22, gloss) * np.float32(0.35) - gloss)
    dark = tone - 1
    picture = np.empty_like(canvas.albedo)
    for channel, tint in enumerate(SHADOW_TINT):
        np.multiply(canvas.albedo[channel], 1 + dark * np.float32(tint), out=picture[channel])
        picture[channel] += gloss
    grey = colours.luminance(picture)
    picture = grey + np.float32(1 + 0.7 * style.saturation) * (picture - grey)
    np.clip(picture, 0, 1, out=picture)
    return curve(picture, style.contrast)


def curve(x: np.ndarray, contrast: float) -> np.ndarray:
    """``x`` in 0..1 along an S for more contrast, or drawn towards a light grey for less."""
    if contrast > 0:
        return x + np.float32(contrast) * x * (1 - x) * (2 * x - np.float32(0.9))
    return x + np.float32(0.5 * contrast) * (x - np.float32(0.7))


def values(picture: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Luminance [size, size] exposed for the face."""
    grey = colours.luminance(picture)
    return grey * canvas.exposure / (1 + (canvas.exposure - 1) * grey)


def palette(style: Style) -> tuple[np.ndarray, np.ndarray]:
    """The dark and the light colour [3] of a duotone, and of the neon tubes' dark."""
    vivid = between(0.0, 1.0, style.saturation)
    dark = colours.hue(style.shadow_hue, 0.45 + 0.5 * vivid if vivid else 0.0, 0.13 + 0.22 * vivid)
    bright = colours.hue(style.light_hue, 0.06 + 0.32 * vivid, between(0.76, 1.0, style.paper))
    return dark, bright


def ink(style: Style) -> np.ndarray:
    """The colour [3] of lines and hatches."""
    return colours.hue(style.ink_hue, 0.6 - 0.45 * amount(style.ink_light), between(0.08, 0.97, style.ink_light))


def duotone(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Luminance mapped between the palette's two colours."""
    strength = np.float32(amount(style.duotone))
    if not strength:
        return picture
    flatness = amount(style.flatness)
    grey = values(picture, canvas)
    bare = np.float32(min(1, 4 * max(amount(style.outline), amount(style.hatching))))
    grey += bare * canvas.wall * (np.float32(1 - amount(style.ink_light)) - grey)
    if flatness:
        grey = staircase(grey, between(1.6, 4.5, style.tones), flatness)
    dark, bright = palette(style)
    for channel in range(3):
        mapped = dark[channel] + grey * np.float32(bright[channel] - dark[channel])
        picture[channel] += strength * (mapped - picture[channel])
    return picture


def _rotated(size: int, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates along and across the texture's angle, in pixels of a 128 picture."""
    angle = math.pi / 4 * (1 + 0.6 * style.texture_angle)
    x, y = grid(size)
    cos, sin = np.float32(64 * math.cos(angle)), np.float32(64 * math.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def hatch(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Parallel lines, thicker where it is darker (with light ink: where it is lighter), crossed in the deepest tones."""
    strength = np.float32(amount(style.hatching))
    if not strength:
        return picture
    size = picture.shape[-1]
    inverse = np.float32(amount(style.ink_light))
    grey = values(picture, canvas)
    density = (1 - grey + inverse * (2 * grey - 1)) * (1 - np.float32(0.6) * canvas.wall)
    dark, bright = palette(style)
    period = between(5.0, 8.0, style.texture_size)
    along, across = _rotated(size, style)
    sway = noise(size, 6, 3) * 2
    lines = _lines(along + sway, period, density * np.float32(1.5) - np.float32(0.42))
    crossed = _lines(across + sway, period, density * np.float32(1.5) - np.float32(0.95))
    marks = np.maximum(np.maximum(lines, crossed), smooth(0.70, 0.82, density))
    base, pen = bright + (dark - bright) * inverse, ink(style)
    for channel in range(3):
        page = picture[channel] + np.float32(0.86) * strength * (base[channel] - picture[channel])
        picture[channel] = page + strength * np.float32(0.92) * marks * (pen[channel] - page)
    return picture


def _lines(position: np.ndarray, period: float, density: np.ndarray) -> np.ndarray:
    """Coverage by lines every ``period`` pixels that fill ``density`` of it."""
    turns = position * np.float32(1 / period)
    away = np.abs(turns - np.round(turns)) * 2
    return np.clip((density - away) * np.float32(period / 2.4) + np.float32(0.5), 0, 1) * smooth(0.0, 0.15, density)


def halftone(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Round dots of a darker colour on a lighter one, larger where it is darker."""
    strength = np.float32(amount(style.halftone))
    if not strength:
        return picture
    cell = between(5.0, 7.5, style.texture_size)
    along, across = _rotated(picture.shape[-1], style)
    along, across = along * np.float32(1 / cell), across * np.float32(1 / cell)
    along, across = along - np.round(along), across - np.round(across)
    away = np.sqrt(along * along + across * across)
    density = (1 - values(picture, canvas)) * (1 - np.float32(0.5) * canvas.wall)
    dots = np.clip((np.sqrt(np.maximum(density, 0)) * np.float32(0.62) - away) * np.float32(cell * 0.8) + np.float32(0.5), 0, 1)
    dots = np.maximum(dots, smooth(0.72, 0.88, density))
    dark, bright = palette(style)
    printed = np.float32(0.45 * amount(style.duotone))
    for channel in range(3):
        paper = np.minimum(picture[channel] * np.float32(1.28) + np.float32(0.10), 1)
        paper += printed * (bright[channel] - paper)
        dot = picture[channel] * np.float32(0.66)
        dot += printed * (dark[channel] - dot)
        dotted = paper + dots * (dot - paper)
        picture[channel] += strength * (dotted - picture[channel])
    return picture


def outline(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Ink along the contours, 1.5 to 4 pixels wide, swelling here and there."""
    strength = amount(style.outline)
    if not strength:
        return picture
    half = np.float32((0.55 + 1.5 * strength) * canvas.unit) * (1 + np.float32(0.3) * noise(canvas.size, 9, 4))
    cover = np.clip(half - canvas.line + np.float32(0.5), 0, 1) * np.float32(min(1, 4 * strength))
    pen = ink(style)
    for channel in range(3):
        picture[channel] += cover * (pen[channel] - picture[channel])
    return picture


def neon(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Glowing tubes along the contours, of two hues from top to bottom, in the dark."""
    strength = np.float32(amount(style.neon))
    if not strength:
        return picture
    y = grid(canvas.size)[1]
    line = np.maximum(canvas.line, 0) * np.float32(1 / canvas.unit)
    tube = smooth(2.0, 0.7, line)
    glow = bump(line * np.float32(0.34)) * smooth(14, 4, line) * np.float32(0.75)
    first, second = colours.hue(style.shadow_hue, 0.85, 1), colours.hue(style.light_hue, 0.85, 1)
    grey = colours.luminance(picture)
    place = np.clip(y * np.float32(0.6) + np.float32(0.5), 0, 1)
    for channel in range(3):
        lamp = first[channel] + place * np.float32(second[channel] - first[channel])
        dark = picture[channel] * np.float32(0.20) + grey * np.float32(0.10) * lamp + np.float32((0.02, 0.01, 0.06)[channel])
        lit = dark + glow * lamp * np.float32(0.8) + tube * (np.float32(0.35) + np.float32(0.65) * lamp - dark * 0)
        picture[channel] += strength * (np.minimum(lit, 1) - picture[channel])
    return picture


def watercolour(picture: np.ndarray, canvas: Canvas, style: Style) -> np.ndarray:
    """Thin washes with pigment gathering at the edges, on rough paper that stays bare at the border."""
    strength = np.float32(amount(style.watercolour))
    if not strength:
        return picture
    size = canvas.size
    x, y = grid(size)
    cloud, grain = noise(size, 7, 5), noise(size, 30, 6)
    line = np.maximum(canvas.line, 0) * np.float32(1 / canvas.unit)
    pool = bump(np.square(line * np.float32(0.55)))
    pigment = np.float32(0.80) + np.float32(0.26) * cloud + np.float32(0.10) * grain + np.float32(0.45) * pool
    border = np.maximum(np.abs(x), np.abs(y)) + np.float32(0.07) * cloud
    pigment *= smooth(0.99, 0.86, border)
    paper = colours.hue(style.light_hue, 0.05, between(0.80, 0.99, style.paper))
    for channel in range(3):
        sheet = paper[channel] * (1 + grain * np.float32(0.02))
        washed = sheet - (1 - picture[channel]) * pigment * np.float32(0.92)
        picture[channel] += strength * (washed - picture[channel])
    return np.clip(picture, 0, 1, out=picture)


def mosaic(picture: np.ndarray, style: Style) -> np.ndarray:
    """Square blocks of one colour, 4 to 8 pixels of a 128 picture wide, centred on the middle."""
    strength = np.float32(amount(style.mosaic))
    if not strength:
        return picture
    size = picture.shape[-1]
    block = between(4.0, 8.0, style.texture_size) * size / 128
    count = math.ceil(size / 2 / block)
    edges = np.unique(np.clip(np.round(size / 2 + block * np.arange(-count, count)), 0, size - 1).astype(int))
    lengths = np.diff(edges, append=size)
    means = np.add.reduceat(np.add.reduceat(picture, edges, axis=1), edges, axis=2)
    means /= np.outer(lengths, lengths).astype(np.float32)
    blocks = np.repeat(np.repeat(means, lengths, axis=1), lengths, axis=2)
    return picture + strength * (blocks - picture)
