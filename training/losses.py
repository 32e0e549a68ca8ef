"""The triple reconstruction loss of StyO (arXiv 2303.03231, equation 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

CONTEXT = "context"
"""Name of the text embedding among the inputs of a UNet."""


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


def stack_conditions(conditions: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """One batch of N rows of conditions, each of one row; the text embeddings [1, L_i, channels] get one length."""
    columns = {name: [condition[name] for condition in conditions] for name in conditions[0]}
    return {name: stack_contexts(rows) if name == CONTEXT else torch.cat(rows) for name, rows in columns.items()}


def stack_contexts(contexts: list[torch.Tensor]) -> torch.Tensor:
    """One batch [N, L, channels] of text embeddings [1, L_i, channels], each repeated along its tokens to one length L.

    A token repeated r times shares its softmax weight among r equal values, so cross attention gives the same output.
    """
    length = math.lcm(*(context.shape[1] for context in contexts))
    return torch.cat([context.repeat(1, length // context.shape[1], 1) for context in contexts])
