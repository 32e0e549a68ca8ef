"""How well a model predicts the noise in each picture under each prompt: what the identifiers have come to mean."""

from __future__ import annotations

import numpy as np
import torch
from styo.bridge import unet_copy
from styo.training.losses import add_noise

from .passes import Passes

TERMS = ("source", "target", "auxiliary")
TIMESTEPS = 20
"""Evenly spread over the training's thousand."""
AUXILIARY = 4
"""How many of the auxiliary pictures are measured."""


def loss_matrix(passes: Passes, images: dict[str, torch.Tensor]) -> np.ndarray:
    """Mean of ||eps - eps_theta||^2 over timesteps, a value's, [prompts, images] in the order of TERMS.

    ``images`` are IMAGEs [N, H, W, 3] by term. One noise is drawn for each timestep, the same everywhere.
    """
    parts = passes.parts
    sigmas = unet_copy.training_sigmas(parts.model)
    t = ((torch.arange(TIMESTEPS) + 0.5) / TIMESTEPS * len(sigmas)).long()
    conditionings = (passes.source, passes.target, passes.auxiliary)
    losses = np.zeros((len(TERMS), len(TERMS)))
    with torch.inference_mode():
        eps_theta = unet_copy.eps_theta(
            unet_copy.copy_unet(parts.model), unet_copy.noise_weights(parts.model), torch.float32
        )
        for column, term in enumerate(TERMS):
            latents = parts.model.model.process_latent_in(parts.encode(images[term][:AUXILIARY])["samples"])
            eps = torch.randn((TIMESTEPS, *latents.shape[1:]), generator=torch.Generator().manual_seed(0))
            for row, conditioning in enumerate(conditionings):
                c = conditioning[0][0].expand(TIMESTEPS, -1, -1)
                for z in latents:
                    z_t = add_noise(z.expand_as(eps), eps, sigmas[t])
                    predicted = eps_theta(z_t, t, {"context": c})
                    losses[row, column] += float((eps - predicted).square().mean()) / len(latents)
    return losses
