"""Distances between pictures [H, W, 3] in 0..1; all but the similarity are 0 for equal pictures."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from skimage.metrics import structural_similarity

BLEND = 3.0
"""Spread in pixels of the blur that blends a halftone's dots, which are 5 to 7.5 apart."""
QUANTILES = (np.arange(64) + 0.5) / 64
SCALES = (0.0, 1.0, 2.0)
"""Spreads in pixels of the blur before a picture's texture is measured."""
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""One pixel right, down and right, down, and down and left."""
LEAST_TEXTURE = 0.002
"""Change of luminance from pixel to pixel below which texture does not count."""


def pixel_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference."""
    return float(np.abs(a - b).mean())


def blended_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of both, blurred: as from a distance at which dots and hatches blend into tones."""
    a, b = (gaussian_filter(x, (BLEND, BLEND, 0)) for x in (a, b))
    return pixel_error(a, b)


def diversity(pictures: np.ndarray) -> float:
    """Mean absolute difference of any two of ``pictures`` [N, H, W, 3], which are the same but for their seed."""
    pairs = list(itertools.combinations(pictures, 2))
    return float(np.mean([pixel_error(a, b) for a, b in pairs])) if pairs else 0.0


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """SSIM, 1 for equal pictures."""
    return float(structural_similarity(a, b, channel_axis=2, data_range=1.0))


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """How far colours must move, in Lab units, for each channel's distribution to be the other's: mean of the three.

    Where the colours are in the picture makes no difference.
    """
    a, b = (np.quantile(rgb2lab(x).reshape(-1, 3), QUANTILES, axis=0) for x in (a, b))
    return float(np.abs(a - b).mean())


def texture_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference of the log of how much luminance changes, at three scales in four directions each.

    0.69 says that a typical one of the twelve is twice what it is in the other picture.
    """
    return float(np.sqrt(np.square(_texture(a) - _texture(b)).mean()))


def _texture(picture: np.ndarray) -> np.ndarray:
    """The log of the mean absolute difference of neighbours, [scales x directions]."""
    luminance = picture @ np.array([0.3, 0.59, 0.11], picture.dtype)
    smooth = [gaussian_filter(luminance, scale) for scale in SCALES]
    moved = [(x, np.roll(x, (-down, -right), (0, 1))) for x in smooth for down, right in STEPS]
    return np.log(np.array([np.abs(a - b)[1:-1, 1:-1].mean() for a, b in moved]) + LEAST_TEXTURE)
