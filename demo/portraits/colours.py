"""Colours of the portrait world, RGB in 0..1."""

from __future__ import annotations

import colorsys

import numpy as np

SKIN = (
    (0.36, 0.24, 0.19), (0.50, 0.33, 0.25), (0.65, 0.45, 0.33),
    (0.80, 0.59, 0.44), (0.88, 0.69, 0.55), (0.94, 0.78, 0.68),
)  # fmt: skip
HAIR = ((0.09, 0.07, 0.08), (0.22, 0.13, 0.09), (0.40, 0.25, 0.15), (0.64, 0.44, 0.23), (0.86, 0.69, 0.42))
RED_HAIR = ((0.20, 0.05, 0.06), (0.38, 0.11, 0.06), (0.58, 0.20, 0.08), (0.80, 0.36, 0.13), (0.92, 0.55, 0.30))
GREY_HAIR = ((0.10, 0.10, 0.12), (0.24, 0.24, 0.27), (0.42, 0.42, 0.45), (0.66, 0.66, 0.69), (0.90, 0.90, 0.90))
IRIS = (
    (0.22, 0.12, 0.07), (0.42, 0.24, 0.10), (0.55, 0.42, 0.14),
    (0.28, 0.54, 0.30), (0.20, 0.52, 0.78), (0.50, 0.68, 0.80),
)  # fmt: skip
SHIRT = (
    (0.80, 0.25, 0.25), (0.92, 0.55, 0.20), (0.93, 0.78, 0.32), (0.35, 0.60, 0.38),
    (0.18, 0.55, 0.60), (0.22, 0.36, 0.66), (0.45, 0.32, 0.62), (0.78, 0.38, 0.55),
)  # fmt: skip
BACKGROUND = (
    (0.90, 0.62, 0.55), (0.94, 0.78, 0.56), (0.90, 0.87, 0.66), (0.66, 0.80, 0.62),
    (0.55, 0.78, 0.78), (0.56, 0.70, 0.86), (0.70, 0.64, 0.84), (0.88, 0.68, 0.78),
)  # fmt: skip


def ramp(stops: tuple, t: float) -> np.ndarray:
    """The colour [3] at ``t`` in [-1, 1] along ``stops``."""
    place = (t + 1) / 2 * (len(stops) - 1)
    return np.array([np.interp(place, range(len(stops)), channel) for channel in zip(*stops, strict=True)], np.float32)


def wheel(stops: tuple, t: float) -> np.ndarray:
    """The colour [3] at ``t`` in [-1, 1] around ``stops``, where -1 and 1 meet."""
    return ramp((*stops, stops[0]), t)


def hue(t: float, saturation: float, value: float) -> np.ndarray:
    """The colour [3] of hue ``t`` in [-1, 1] around the wheel from red to red."""
    return np.array(colorsys.hsv_to_rgb((t + 1) / 2 % 1, saturation, value), np.float32)


def skin(tone: float, warmth: float) -> np.ndarray:
    """From deep to fair, from rosy to golden."""
    return np.clip(ramp(SKIN, tone) * (1 + warmth * np.array([0.0, 0.03, -0.06], np.float32)), 0, 1)


def hair(tone: float, warmth: float) -> np.ndarray:
    """From black to blond, from grey through natural to red."""
    other = RED_HAIR if warmth > 0 else GREY_HAIR
    return ramp(HAIR, tone) + abs(warmth) * (ramp(other, tone) - ramp(HAIR, tone))


def luminance(image: np.ndarray) -> np.ndarray:
    """Luminance of [3, ...]."""
    return image[0] * 0.3 + image[1] * 0.59 + image[2] * 0.11
