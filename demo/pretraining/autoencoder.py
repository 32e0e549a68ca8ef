"""Training the demo model's VAE on portraits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...bridge.unet_copy import autocast
from ..autoencoder import ThinAutoencoder
from . import parallel
from .fit import fit, precision, seeded

BATCH = 4
LEARNING_RATE = 2e-3
LATENT_NOISE = 0.05
"""Spread of the noise added to latents in training, against an encoder that hides detail in tiny differences."""


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [N, H, W, 3] to [N, 3, H, W] in 0..1."""
    return torch.from_numpy(pictures).movedim(-1, 1).float() / 255


def train_autoencoder(
    pictures: np.ndarray, steps: int, state: Path, device: str, report=lambda average, step: None
) -> ThinAutoencoder:
    """A VAE of ``pictures``, uint8 [N, 128, 128, 3]; ``report(average, step)`` runs at every save."""
    with seeded():
        autoencoder = ThinAutoencoder().to(device, memory_format=torch.channels_last)

    batch = BATCH // parallel.processes()

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        picks = torch.randint(len(pictures), (batch,), generator=generator).numpy()
        x = to_tensor(pictures[picks]).to(device, memory_format=torch.channels_last)
        with autocast(x.device, precision(device)):
            z = autoencoder.encode(x)
            y = autoencoder.decode(z + LATENT_NOISE * torch.randn(z.shape, generator=generator).to(device))
        return picture_loss(y.float(), x)

    return fit(autoencoder, loss_of, steps, LEARNING_RATE, state, report).float()


def picture_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of pictures at all sizes down to an eighth, and of their edges at all but the last."""
    difference = y - x
    loss = difference.abs().mean()
    for _ in range(3):
        loss = loss + (difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()) / 4
        difference = torch.nn.functional.avg_pool2d(difference, 2)
        loss = loss + difference.abs().mean()
    return loss
