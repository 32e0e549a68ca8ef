"""Training the demo model's VAE on portraits."""

from __future__ import annotations

from pathlib import Path

import torch

from ...bridge.unet_copy import autocast
from ..autoencoder import Autoencoder
from ..shapes import BLOCK
from . import parallel
from .fit import fit, on_accelerator, precision, seeded
from .layout import PARTS
from .pictures import Stream

BATCH, ACCELERATED_BATCH = 4, 64
LEARNING_RATE = 1e-3
SOLVED_FOR = 512
"""Portraits whose blocks the encoder is solved for."""
LATENT_NOISE = 0.3
"""Most noise added to a picture's latents in training: a UNet's are never exact, and what they miss shows as blocks."""
FEATURES_COUNT = 3.0
"""How much more an error counts where eyes and mouth are: a twentieth of a picture, and what is looked at."""


def to_input(pictures: torch.Tensor, device: str) -> torch.Tensor:
    """uint8 [N, 3, H, W] to 0..1 on a device."""
    return pictures.to(device, memory_format=torch.channels_last).float() / 255


def solved_autoencoder(stream: Stream) -> Autoencoder:
    """A VAE whose encoder is as it stays, from the first of a stream's portraits; its network is not trained."""
    with seeded():
        autoencoder = Autoencoder()
    autoencoder.solve(stream.at(0, SOLVED_FOR).pictures)
    return autoencoder


def train_autoencoder(
    autoencoder: Autoencoder,
    stream: Stream,
    pictures: int,
    state: Path,
    device: str,
    report=lambda average, step: None,
) -> Autoencoder:
    """A VAE trained on the first ``pictures`` of a stream, each once; ``report(average, step)`` runs at every save."""
    autoencoder = autoencoder.to(device, memory_format=torch.channels_last)
    batch = (ACCELERATED_BATCH if on_accelerator(device) else BATCH) // parallel.processes()

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        portraits = stream.at(step * batch, batch)
        eyes, mouth = (portraits.masks[:, [PARTS.index(part)]] for part in ("eyes", "mouth"))
        counts = torch.nn.functional.interpolate(torch.maximum(eyes, mouth), scale_factor=BLOCK)
        x = to_input(portraits.pictures, device)
        z = autoencoder.encode(x)
        noise = torch.randn(z.shape, generator=generator) * torch.rand(len(z), 1, 1, 1, generator=generator)
        z = z + LATENT_NOISE * noise.to(device)
        with autocast(x.device, precision(device)):
            y = autoencoder.decode(z)
        return picture_loss(y.float(), x, 1 + FEATURES_COUNT * counts.to(device))

    steps = -(-pictures // (batch * parallel.processes()))
    return fit(autoencoder, loss_of, steps, LEARNING_RATE, state, report).float()


def picture_loss(y: torch.Tensor, x: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of pictures at all sizes down to an eighth, and of their edges at all but the last.

    ``counts`` [N, 1, H, W] says how much each pixel's error does.
    """
    difference = y - x
    loss = _mean(difference.abs(), counts)
    for _ in range(3):
        down, right = difference.diff(dim=2).abs(), difference.diff(dim=3).abs()
        loss = loss + (_mean(down, counts[..., 1:, :]) + _mean(right, counts[..., 1:])) / 4
        difference, counts = (torch.nn.functional.avg_pool2d(part, 2) for part in (difference, counts))
        loss = loss + _mean(difference.abs(), counts)
    return loss


def _mean(error: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return (error * counts).mean() / counts.mean()
