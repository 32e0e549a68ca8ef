"""The demo model's VAE: principal components of a picture's blocks, and a network that adds what these leave out.

The encoder is linear and solved for, not trained. So latents do not depend on the network, and it may be trained before
or after the UNet.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from .shapes import BLOCK, LATENT_CHANNELS

VALUES = 3 * BLOCK**2
"""Values of a block: a latent position's pixels."""
WIDTHS = (128, 64, 32)
"""The network's channels at an eighth, a quarter and half of the picture's size."""
DEPTHS = (3, 2, 1)
"""Its residual blocks there."""


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    return conv


def _silent(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    return conv


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))), of one width; starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(nn.SiLU(), _conv(width, width), nn.SiLU(), _silent(_conv(width, width)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x)


class Autoencoder(nn.Module):
    """Pictures [N, 3, H, W] in 0..1 to latents [N, LATENT_CHANNELS, H / BLOCK, W / BLOCK] of mean 0, and back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(VALUES))
        self.register_buffer("analysis", torch.zeros(LATENT_CHANNELS, VALUES))
        self.register_buffer("synthesis", torch.zeros(VALUES, LATENT_CHANNELS))
        layers, inputs = [], LATENT_CHANNELS
        for width, depth in zip(WIDTHS, DEPTHS, strict=True):
            layers += [_conv(inputs, width), *[Residual(width) for _ in range(depth)]]
            layers += [_conv(width, 4 * width), nn.PixelShuffle(2)] if width != WIDTHS[-1] else []
            inputs = width
        self.detail = nn.Sequential(*layers, _silent(_conv(inputs, 3 * 4)), nn.PixelShuffle(2))

    @torch.no_grad()
    def solve(self, pictures: torch.Tensor):
        """Take the principal components of the blocks of ``pictures``, uint8 [N, 3, H, W].

        A component's latents spread as the square root of its own spread, and all of them by 1 in the mean of squares:
        in noise, coarse structure is seen before detail.
        """
        blocks = pixel_unshuffle(pictures.double() / 255, BLOCK).movedim(1, -1).flatten(0, -2)
        variances, components = torch.linalg.eigh(blocks.T.cov(correction=0))
        variances, components = variances[-LATENT_CHANNELS:].flip(0), components[:, -LATENT_CHANNELS:].flip(1)
        gains = variances**-0.25 / (variances**0.5).mean() ** 0.5
        self.mean.copy_(blocks.mean(0))
        self.analysis.copy_((components * gains).T)
        self.synthesis.copy_(components / gains)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents of pictures."""
        return _positionwise(self.analysis, pixel_unshuffle(x, BLOCK) - self.mean[:, None, None])

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Pictures of latents, not clamped."""
        return pixel_shuffle(_positionwise(self.synthesis, z) + self.mean[:, None, None], BLOCK) + self.detail(z)


def _positionwise(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return nn.functional.conv2d(x, matrix[:, :, None, None])


def rough_colours(weights: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """What a latent's channels add to a position's colour, [LATENT_CHANNELS, 3], and the mean colour [3]; in -1..1."""
    colours = weights["synthesis"].unflatten(0, (3, -1)).mean(1)
    return 2 * colours.T, 2 * weights["mean"].unflatten(0, (3, -1)).mean(1) - 1
