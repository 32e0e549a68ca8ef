"""The demo model's VAE: TAESD (the tiny autoencoder that ComfyUI loads) with most of its channels and blocks left out.

What is left out is zero in TAESD's own shape, where zero blocks hand on what they get, so both compute the same.
"""

from __future__ import annotations

import torch
from torch import nn

from .shapes import LATENT_SCALE

LATENT_CHANNELS = 4
TAESD_CHANNELS = 64
TAESD_BLOCKS = 3
WIDTHS = (64, 64, 48, 24)
"""Channels at an eighth, a quarter, half, and all of the picture's size."""
ENCODER_BLOCKS = (3, 2, 1, 0)
DECODER_BLOCKS = (3, 3, 2, 1)
WHOLE_SIZE = ("taesd_encoder.0", "taesd_decoder.17")
"""Stages at the picture's own size, where TAESD has a single block."""


def _conv(inputs: int, outputs: int, **options) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


class Block(nn.Module):
    """relu(x + conv(relu(conv(relu(conv(x)))))), of one width; starts as the identity of what is not negative."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width))
        nn.init.zeros_(self.conv[4].weight)
        nn.init.zeros_(self.conv[4].bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x) + x)


class ThinAutoencoder(nn.Module):
    """Pictures [N, 3, H, W] in 0..1 to latents [N, 4, H / 8, W / 8] of mean 0 and spread 1, and back."""

    def __init__(self):
        super().__init__()
        eighth, quarter, half, whole = WIDTHS
        enters = [_conv(3, whole)]
        enters += [_conv(a, b, stride=2, bias=False) for a, b in ((whole, half), (half, quarter), (quarter, eighth))]
        self.encoder = _stages(enters, reversed(WIDTHS), reversed(ENCODER_BLOCKS))
        self.to_latent = _conv(eighth, LATENT_CHANNELS)
        self.spread = nn.BatchNorm2d(LATENT_CHANNELS, affine=False, momentum=0.01)
        enters = [nn.Sequential(_conv(LATENT_CHANNELS, eighth), nn.ReLU())]
        enters += [_conv(a, b, bias=False) for a, b in ((eighth, quarter), (quarter, half), (half, whole))]
        self.decoder = _stages(enters, WIDTHS, DECODER_BLOCKS)
        self.to_picture = _conv(whole, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.weight.any():
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Latents of pictures."""
        for stage in self.encoder:
            x = stage(x)
        return self.spread(self.to_latent(x))

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Pictures of latents, not clamped."""
        x = torch.tanh(z / 3) * 3
        for i, stage in enumerate(self.decoder):
            x = stage(x if i == 0 else nn.functional.interpolate(x, scale_factor=2))
        return self.to_picture(x)


def _stages(enters: list[nn.Conv2d], widths, blocks) -> nn.ModuleList:
    stages = zip(enters, widths, blocks, strict=True)
    return nn.ModuleList(
        nn.Sequential(enter, *([Block(width) for _ in range(count)] or [nn.ReLU()])) for enter, width, count in stages
    )


def taesd_weights(thin: ThinAutoencoder) -> dict[str, torch.Tensor]:
    """The same autoencoder in TAESD's shape, for ComfyUI's VAE; its latents are those of the UNet over LATENT_SCALE."""
    encoder = [(f"taesd_encoder.{at}", stage) for at, stage in zip((0, 2, 6, 10), thin.encoder, strict=True)]
    decoder = [(f"taesd_decoder.{at}", stage) for at, stage in zip((1, 7, 12, 17), thin.decoder, strict=True)]
    weights = {"vae_scale": torch.tensor(LATENT_SCALE), "vae_shift": torch.tensor(0.0)}
    for name, stage in encoder + decoder:
        prefix, _, at = name.rpartition(".")
        enter, *blocks = stage
        first_block = int(at) + 1
        if isinstance(enter, nn.Sequential):
            enter, first_block = enter[0], first_block + 1
        weights |= _padded(name, enter)
        blocks = [block for block in blocks if isinstance(block, Block)]
        for i in range(1 if name in WHOLE_SIZE else TAESD_BLOCKS):
            for j in (0, 2, 4):
                conv = blocks[i].conv[j] if i < len(blocks) else Block(1).conv[4]
                weights |= _padded(f"{prefix}.{first_block + i}.conv.{j}", conv)
    weights |= _padded("taesd_encoder.14", _normalised(thin), outputs=LATENT_CHANNELS)
    return weights | _padded("taesd_decoder.19", thin.to_picture, outputs=3)


def _normalised(thin: ThinAutoencoder) -> nn.Conv2d:
    """``to_latent`` with the normalisation behind it."""
    spread = torch.sqrt(thin.spread.running_var + thin.spread.eps)
    conv = _conv(thin.to_latent.in_channels, LATENT_CHANNELS)
    conv.weight.data = thin.to_latent.weight.data / spread[:, None, None, None]
    conv.bias.data = (thin.to_latent.bias.data - thin.spread.running_mean) / spread
    return conv


def _padded(name: str, conv: nn.Conv2d, outputs: int = TAESD_CHANNELS) -> dict[str, torch.Tensor]:
    """A convolution's weights filled up with zeros to TAESD's channels."""
    inputs = conv.in_channels if conv.in_channels in (3, LATENT_CHANNELS) else TAESD_CHANNELS
    weight = torch.zeros(outputs, inputs, 3, 3)
    weight[: conv.out_channels, : conv.in_channels] = conv.weight.detach()
    padded = {f"{name}.weight": weight}
    if conv.bias is not None:
        padded[f"{name}.bias"] = torch.zeros(outputs)
        padded[f"{name}.bias"][: conv.out_channels] = conv.bias.detach()
    return padded
