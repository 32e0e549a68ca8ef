"""The picture a training shows of itself: samples above the curves of equation 4's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (512, 512)
"""Pixels. Text is sized for a node about half as wide."""
MARGIN = 12
TEXT = 22
PLOT_HEIGHT = 196
BACKGROUND, INK, FAINT = (24, 26, 31), (235, 235, 235), (70, 74, 84)
COLOURS = {"source": (86, 180, 233), "target": (230, 159, 0), "auxiliary": (0, 190, 130)}
"""Of Okabe and Ito: apart for every kind of colour vision."""
PADDING = 0.05
"""Room above and below the curves, in the logarithm of a loss."""
SMOOTHING_PART = 10
"""A curve's value is a mean weighted towards the newest tenth of the steps: one loss depends mostly on its timestep."""


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The exponential mean of ``losses`` [steps] over about a tenth of them, nan where a loss is not finite."""
    keep = 1 - 1 / max(1.0, len(losses) / SMOOTHING_PART)
    values, total, weight = np.full(len(losses), np.nan), 0.0, 0.0
    for i in np.flatnonzero(np.isfinite(losses)):
        total, weight = keep * total + losses[i], keep * weight + 1
        values[i] = total / weight
    return values


def training_picture(
    samples: Mapping[str, Image.Image], terms: Mapping[str, Sequence[float]], steps: int
) -> Image.Image:
    """``samples`` side by side under their names, above the smoothed curve of each of ``terms`` over ``steps`` steps.

    The losses of a term are those of the steps done; the axis is logarithmic.
    """
    picture = Image.new("RGB", SIZE, BACKGROUND)
    draw = ImageDraw.Draw(picture)
    curves = {name: smoothed(np.asarray(losses, dtype=float)) for name, losses in terms.items()}
    if samples:
        _paste_samples(picture, draw, samples)
    _draw_curves(draw, curves, steps, top=SIZE[1] - PLOT_HEIGHT if samples else MARGIN)
    return picture


def _paste_samples(picture: Image.Image, draw: ImageDraw.ImageDraw, samples: Mapping[str, Image.Image]):
    top = MARGIN + TEXT + 4
    height = SIZE[1] - PLOT_HEIGHT - top - MARGIN
    slot = (SIZE[0] - MARGIN) // max(1, len(samples)) - MARGIN
    for i, (name, sample) in enumerate(samples.items()):
        scale = min(slot / sample.width, height / sample.height)
        fitted = sample.resize((round(sample.width * scale), round(sample.height * scale)), Image.Resampling.BICUBIC)
        middle = MARGIN + i * (slot + MARGIN) + slot // 2
        picture.paste(fitted, (middle - fitted.width // 2, top + (height - fitted.height) // 2))
        draw.text((middle, MARGIN + TEXT * 0.8), name, fill=INK, font=ImageFont.load_default(TEXT), anchor="ms")


def _draw_curves(draw: ImageDraw.ImageDraw, curves: Mapping[str, np.ndarray], steps: int, top: int):
    left, right, bottom = MARGIN, SIZE[0] - MARGIN, SIZE[1] - MARGIN
    _draw_legend(draw, curves, top)
    top += TEXT + 10
    draw.rectangle((left, top, right, bottom), outline=FAINT)
    known = np.concatenate([np.empty(0), *curves.values()])
    known = known[known > 0]
    if not len(known):
        return
    low, high = np.log(known.min()) - PADDING, np.log(known.max()) + PADDING
    for name, curve in curves.items():
        shown = np.flatnonzero(curve > 0)
        shown = shown[np.unique(np.linspace(0, len(shown) - 1, right - left).astype(int))] if len(shown) else shown
        across = left + (right - left) * (shown + 1) / steps
        down = bottom - (bottom - top) * (np.log(curve[shown]) - low) / (high - low)
        points = list(zip(across.tolist(), down.tolist(), strict=True))
        draw.line(points, fill=COLOURS[name], width=3, joint="curve")
        for x, y in points[-1:]:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=COLOURS[name])


def _draw_legend(draw: ImageDraw.ImageDraw, curves: Mapping[str, np.ndarray], top: int):
    font = ImageFont.load_default(TEXT)
    slot = (SIZE[0] - 2 * MARGIN) / max(1, len(curves))
    for i, (name, curve) in enumerate(curves.items()):
        newest = f"{name} {curve[-1]:.3f}" if len(curve) else name
        draw.text((MARGIN + i * slot, top + TEXT * 0.8), newest, fill=COLOURS[name], font=font, anchor="ls")
