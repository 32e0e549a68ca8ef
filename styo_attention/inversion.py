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
    is the fixed point of g(x) = x' + (s - s') eps(x, s), approached in ``iterations`` steps from x'. Plain iteration
    hardly moves where s is far above s', as in the first step of a schedule with zero terminal SNR, so each step learns
    from the one before. ``denoise(x, s)`` is the model's estimate of the clean latent, ``callback(step, denoised, x)``
    reports. Returns the noise and the largest relative change of an item in any last iteration: 0 where every fixed
    point was reached, NaN where the model gave a NaN.
    """
    changes = []
    for step, (lower, upper) in enumerate(itertools.pairwise(sigmas)):
        known, sigma, ratio = x, upper.expand(x.shape[0]), lower / upper
        last = None
        for _ in range(iterations):
            before = x
            denoised = denoise(x, sigma)
            # g(x) - x, written so that a large x does not round the small difference away.
            residual = known - ratio * x - (1 - ratio) * denoised
            x = x + (residual if last is None else _step(x, residual, ratio, *last))
            last = before, residual
        changes.append((_per_item(x - before).norm(dim=1) / _per_item(x).norm(dim=1)).max())
        callback(step, denoised, x)
    return x, float(torch.stack(changes).max())


def _step(
    x: torch.Tensor, residual: torch.Tensor, ratio: torch.Tensor, last_x: torch.Tensor, last_residual: torch.Tensor
) -> torch.Tensor:
    """The step of Anderson's acceleration of depth 1 (J. ACM 12:547, 1965): to the mix whose residuals cancel most.

    How far it follows the residual is learnt too (Barzilai and Borwein, IMA J. Numer. Anal. 8:141, 1988), within what a
    denoiser allows: from 1, where the clean latent follows x, to 1 / ``ratio``, where it does not depend on x. Each
    item of the batch is on its own.
    """
    moved, change = x - last_x, residual - last_residual
    square = _dot(change, change)
    known = square > 0
    reach = torch.where(known, -_dot(moved, change) / square, 1.0).clamp(min=1.0).minimum(1 / ratio)
    share = torch.where(known, _dot(change, residual) / square, 0.0)
    return reach * residual - share * (moved + reach * change)


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The scalar product of each item, [B, 1, ...]."""
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)


def _per_item(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1)
