"""Whether attention maps mean layout: one seed's picture with another seed's content columns."""

from __future__ import annotations

import numpy as np

from .metrics import pixel_error
from .passes import Passes, Source

SEEDS = (1, 2, 3)
"""Each takes the columns of the next."""


def moved_towards(passes: Passes) -> tuple[float, float, float]:
    """(apart, moved, nearer): how far pictures of two seeds are apart without FCC, mean difference of pixels, and what
    of that difference another seed's content columns move a picture by, and bring it nearer to that seed's.

    Both passes are stylizations by the same prompt. If columns told all of a picture, ``nearer`` would be 1.
    """
    own = [passes.captured_stylization(seed) for seed in SEEDS]
    free = [_picture(passes, latent) for latent in own]
    apart = moved = nearer = 0.0
    for number, seed in enumerate(SEEDS):
        other = (number + 1) % len(SEEDS)
        given = _picture(passes, passes.stylization(seed, Source(own[other])))
        apart += pixel_error(free[number], free[other])
        moved += pixel_error(given, free[number])
        nearer += pixel_error(free[number], free[other]) - pixel_error(given, free[other])
    return apart / len(SEEDS), moved / apart, nearer / apart


def _picture(passes: Passes, latent: dict) -> np.ndarray:
    return passes.parts.decode(latent)[0].numpy()
