"""The noise behind a picture: the source pass run backwards, so that M_src is the real source's."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch


def invert_ddim(
    denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    iterations: int,
    callback: Callable[[int, torch.Tensor, torch.Tensor], None],
) -> tuple[torch.Tensor, float]:
    """Undo DDIM (arXiv 2010.02502, equation 13, in sigma space) exactly, a step at a time, from ``x`` [B, C, H, W].

    ``sigmas`` ascend from that of ``x``. A DDIM step from s to s' < s gives x' = x + (s' - s) eps(x, s); backwards, x
    is the fixed point of x = x' + (s - s') eps(x, s), iterated ``iterations`` times from x'. ``denoise(x, s)`` is the
    model's estimate of the clean latent, ``callback(step, denoised, x)`` reports. Returns the noise and the largest
    relative change in any last iteration: 0 where every fixed point was reached, NaN where the model gave a NaN.
    """
    changes = []
    for step, (lower, upper) in enumerate(itertools.pairwise(sigmas)):
        known, sigma = x, upper.expand(x.shape[0])
        for _ in range(iterations):
            before = x
            denoised = denoise(x, sigma)
            x = known + (upper - lower) * (x - denoised) / upper
        changes.append((x - before).norm() / x.norm())
        callback(step, denoised, x)
    return x, float(torch.stack(changes).max())
