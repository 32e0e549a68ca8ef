"""Training the demo model's VAE on portraits."""

from __future__ import annotations

from pathlib import Path

import torch

from ...bridge.unet_copy import autocast
from ..autoencoder import ThinAutoencoder
from . import parallel
from .fit import compiled, fit, on_accelerator, precision, seeded
from .layout import PARTS
from .pictures import Stream

BATCH, ACCELERATED_BATCH = 4, 64
LEARNING_RATE = 2e-3
LATENT_NOISE = 0.05
"""Spread of the noise added to latents in training, against an encoder that hides detail in tiny differences."""
CROPS, SIDE = 2, 8
"""Pieces that are cut from each picture, and their size in latent positions: most of a face, for less than it all."""
FEATURES_COUNT = 3.0
"""How much more an error counts where eyes and mouth are: a twentieth of a picture, and what is looked at."""


def to_input(pictures: torch.Tensor, device: str) -> torch.Tensor:
    """uint8 [N, 3, H, W] to 0..1 on a device."""
    return pictures.to(device, memory_format=torch.channels_last).float() / 255


def train_autoencoder(
    stream: Stream, pictures: int, state: Path, device: str, report=lambda average, step: None
) -> ThinAutoencoder:
    """A VAE trained on the first ``pictures`` of a stream, each once; ``report(average, step)`` runs at every save."""
    with seeded():
        autoencoder = ThinAutoencoder().to(device, memory_format=torch.channels_last)
    batch = (ACCELERATED_BATCH if on_accelerator(device) else BATCH) // parallel.processes()
    encode, decode = compiled(autoencoder.encode, device), compiled(autoencoder.decode, device)

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        portraits = stream.at(step * batch, batch)
        eyes, mouth = (portraits.masks[:, [PARTS.index(part)]] for part in ("eyes", "mouth"))
        pictures, counts = cropped(portraits.pictures, 1 + FEATURES_COUNT * torch.maximum(eyes, mouth), generator)
        x = to_input(pictures, device)
        with autocast(x.device, precision(device)):
            z = encode(x)
            y = decode(z + LATENT_NOISE * torch.randn(z.shape, generator=generator).to(device))
        return picture_loss(y.float(), x, counts.to(device))

    steps = -(-pictures // (batch * parallel.processes()))
    return fit(autoencoder, loss_of, steps, LEARNING_RATE, state, report).float()


def cropped(pictures: torch.Tensor, counts: torch.Tensor, generator: torch.Generator):
    """CROPS pieces of each of ``pictures`` [N, C, H, W] and of ``counts`` [N, 1, h, w], both [CROPS * N, ., s, s]."""
    scale = pictures.shape[-1] // counts.shape[-1]
    found = []
    for n in range(len(pictures)):
        for top, left in torch.randint(counts.shape[-1] - SIDE + 1, (CROPS, 2), generator=generator).tolist():
            rows, columns = slice(scale * top, scale * (top + SIDE)), slice(scale * left, scale * (left + SIDE))
            counted = counts[n, :, top : top + SIDE, left : left + SIDE].repeat_interleave(scale, 1)
            found.append((pictures[n, :, rows, columns], counted.repeat_interleave(scale, 2)))
    return tuple(map(torch.stack, zip(*found, strict=True)))


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
