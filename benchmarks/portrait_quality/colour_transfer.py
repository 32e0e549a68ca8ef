"""The simplest stylization there is: the artwork's colour statistics on the photo (Reinhard et al., 2001)."""

from __future__ import annotations

import warnings

import numpy as np
from skimage.color import lab2rgb, rgb2lab


def transfer_colours(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``source`` with each Lab channel's mean and spread brought to those of ``target``; both [H, W, 3] in 0..1.

    Colours that no screen shows are clipped.
    """
    source, target = rgb2lab(source), rgb2lab(target)
    axes = (0, 1)
    scale = target.std(axes) / np.maximum(source.std(axes), 1e-6)
    moved = (source - source.mean(axes)) * scale + target.mean(axes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.clip(lab2rgb(moved), 0, 1).astype(np.float32)
