"""The triple reconstruction loss of StyO (arXiv 2303.03231, equation 4)."""

from __future__ import annotations

from collections.abc import Callable

import torch


def add_noise(z: torch.Tensor, eps: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps, for sigma [N] = sqrt((1 - abar_t) / abar_t)."""
    sigma = sigma.view(-1, 1, 1, 1)
    return (z + sigma * eps) / (sigma**2 + 1) ** 0.5


def triple_reconstruction_loss(
    eps_theta: Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]], torch.Tensor],
    z: torch.Tensor,
    t: torch.Tensor,
    eps: torch.Tensor,
    condition: dict[str, torch.Tensor],
    sigmas: torch.Tensor,
) -> torch.Tensor:
    """StyO (arXiv 2303.03231), equation 4: ||eps - eps_theta(z_t, t, c)||^2 of source, target and auxiliary, [N].

    Their sum is the loss. The paper prints norms without a square; latent diffusion's, which it follows, have one. Each
    is a mean over a latent's values. One row a term: ``z`` and ``eps`` [N, 4, h, w], ``t`` [N] indices into ``sigmas``
    [T]; ``condition`` is what ``eps_theta`` reads of c, by name.
    """
    z_t = add_noise(z, eps, sigmas[t])
    return ((eps - eps_theta(z_t, t, condition)) ** 2).mean(dim=(1, 2, 3))
