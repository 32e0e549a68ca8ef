"""Light on a painted canvas, and the tones and colours that a style allows itself; pictures are [3, size, size]."""

from __future__ import annotations

import math

import numpy as np

from . import colours
from .canvas import Canvas
from .parameters import amount, between
from .shapes import smooth
from .style import Style

SHADOW_TINT = (0.92, 1.0, 1.05)


def lit(canvas: Canvas, style: Style) -> np.ndarray:
    """The canvas under a soft lamp, in continuous or flat tones, with the saturation and contrast of ``style``."""
    tone, gloss = _lamp(canvas, style)
    flatness = amount(style.flatness)
    if flatness:
        tone = flat(tone, style)
        gloss = gloss + flatness * (smooth(0.16, 0.22, gloss) * 0.35 - gloss)
    picture = np.empty_like(canvas.albedo)
    for channel, tint in enumerate(SHADOW_TINT):
        picture[channel] = canvas.albedo[channel] * (1 + (tone - 1) * tint) + gloss
    grey = colours.luminance(picture)
    picture = grey + (1 + 0.7 * style.saturation) * (picture - grey)
    return _curve(np.clip(picture, 0, 1), style.contrast)


def _lamp(canvas: Canvas, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Tone and highlights [size, size]; more contrast makes the lamp harder, angularity the surface faceted."""
    across, down = 0.62 * style.light_x, 0.62 * style.light_y
    ahead = math.sqrt(1 - across**2 - down**2)
    nx, ny = canvas.nx, canvas.ny
    facets = amount(style.angularity)
    if facets:
        falling, rising = np.round((nx + ny) * 2), np.round((nx - ny) * 2)
        nx = nx + facets * ((falling + rising) * 0.25 - nx)
        ny = ny + facets * ((falling - rising) * 0.25 - ny)
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.02))
    lambert = np.clip(nx * across + ny * down + nz * ahead, 0, 1)
    hard = 0.22 * amount(style.contrast)
    tone = (0.40 - hard + (0.76 + 1.4 * hard) * lambert) * canvas.shade
    return tone, canvas.gloss * (0.3 + 0.9 * lambert * lambert)


def flat(x: np.ndarray, style: Style) -> np.ndarray:
    """``x`` in 0..1 in a few flat tones with narrow slopes between them, as far as ``style`` is flat."""
    levels = between(1.6, 4.5, style.tones)
    steps = x * levels
    whole = np.floor(steps)
    part = np.clip((steps - whole - 0.5) * 4.5 + 0.5, 0, 1)
    return x + amount(style.flatness) * ((whole + part) / levels - x)


def _curve(x: np.ndarray, contrast: float) -> np.ndarray:
    """``x`` in 0..1 along an S for more contrast, or drawn towards a light grey for less."""
    if contrast > 0:
        return x + contrast * x * (1 - x) * (2 * x - 0.9)
    return x + 0.5 * contrast * (x - 0.7)


def values(picture: np.ndarray, canvas: Canvas) -> np.ndarray:
    """Luminance [size, size], exposed for the face."""
    grey = colours.luminance(picture)
    return grey * canvas.exposure / (1 + (canvas.exposure - 1) * grey)


def palette(style: Style) -> tuple[np.ndarray, np.ndarray]:
    """The dark and the light colour [3] of a print."""
    vivid = between(0, 1, style.saturation)
    dark = colours.hue(style.shadow_hue, 0.45 + 0.5 * vivid if vivid else 0.0, 0.13 + 0.22 * vivid)
    bright = colours.hue(style.light_hue, 0.06 + 0.32 * vivid, between(0.76, 1, style.paper))
    return dark, bright


def ink(style: Style) -> np.ndarray:
    """The colour [3] of lines and hatches."""
    return colours.hue(style.ink_hue, 0.6 - 0.45 * amount(style.ink_light), between(0.08, 0.97, style.ink_light))
