"""The demo model's VAE: TAESD (the tiny autoencoder that ComfyUI loads) with most of its channels and blocks left out.

What is left out is zero in TAESD's own shape, where zero blocks hand on what they get, so both compute the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from .shapes import LATENT_SCALE

LATENT_CHANNELS = 4
TAESD_CHANNELS = 64
TAESD_BLOCKS = 3
WIDTHS = (64, 64, 32, 16)
"""Channels at an eighth, a quarter, half, and all of the picture's size."""
ENCODER_BLOCKS = (3, 2, 1, 0)
DECODER_BLOCKS = (3, 3, 2, 1)
COLOUR_AXES = torch.tensor([[1.3, 1.3, 1.3], [3.0, 0.0, -3.0], [-2.0, 4.0, -2.0]])
"""Rows: brightness, red against blue, green against both; about of spread 1 for portraits' colours in 0..1."""
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


class Spread(nn.BatchNorm2d):
    """Normalises latents to mean 0 and spread 1 by running statistics, in training too.

    A batch's own statistics would take out what its pictures have in common, which is much of their colour.
    """

    def __init__(self, channels: int):
        super().__init__(channels, affine=False, momentum=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            with torch.no_grad():
                super().forward(x)
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, eps=self.eps)


class ThinAutoencoder(nn.Module):
    """Pictures [N, 3, H, W] in 0..1 to latents [N, 4, H / 8, W / 8] of mean 0 and spread 1, and back."""

    def __init__(self):
        super().__init__()
        eighth, quarter, half, whole = WIDTHS
        enters = [_conv(3, whole)]
        enters += [_conv(a, b, stride=2, bias=False) for a, b in ((whole, half), (half, quarter), (quarter, eighth))]
        self.encoder = _stages(enters, reversed(WIDTHS), reversed(ENCODER_BLOCKS))
        self.to_latent = _conv(eighth, LATENT_CHANNELS)
        self.spread = Spread(LATENT_CHANNELS)
        enters = [nn.Sequential(_conv(LATENT_CHANNELS, eighth), nn.ReLU())]
        enters += [_conv(a, b, bias=False) for a, b in ((eighth, quarter), (quarter, half), (half, whole))]
        self.decoder = _stages(enters, WIDTHS, DECODER_BLOCKS)
        self.to_picture = _conv(whole, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.weight.any():
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self._carry_colours()

    @torch.no_grad()
    def _carry_colours(self):
        """Start with an eighth of the picture, its colours in three latent channels; detail is left to be learned."""
        smooth = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16
        middle = torch.zeros(3, 3)
        middle[1, 1] = 1
        entries = [stage[0] for stage in (*self.encoder, *self.decoder[1:])]
        kernels = [middle, *[smooth] * (len(entries) - 1)]
        for conv, kernel in zip(entries, kernels, strict=True):
            conv.weight[:3] = 0
            for colour in range(3):
                conv.weight[colour, colour] = kernel
        first = self.decoder[0][0][0]
        for conv, matrix in ((self.to_latent, COLOUR_AXES), (first, COLOUR_AXES.inverse())):
            conv.weight[:3] = 0
            conv.weight[:3, :3, 1, 1] = matrix
        self.encoder[0][0].bias[:3] = 0
        self.to_latent.bias[:3] = -COLOUR_AXES.sum(1) / 2
        first.bias[:3] = 0.5
        self.to_picture.weight.zero_()
        self.to_picture.weight[range(3), range(3), 1, 1] = 1
        self.to_picture.bias.zero_()

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
    weights = {"vae_scale": torch.tensor(LATENT_SCALE), "vae_shift": torch.tensor(0.0)}
    for name, conv, outputs in _layers(_without_spread(thin)):
        weights |= _padded(name, conv, outputs)
    return weights


@torch.no_grad()
def thin_autoencoder(weights: dict[str, torch.Tensor]) -> ThinAutoencoder:
    """The autoencoder whose ``taesd_weights`` these are."""
    thin = _without_spread(ThinAutoencoder())
    for name, conv, _ in _layers(thin):
        for part, parameter in conv.named_parameters():
            corner = tuple(slice(size) for size in parameter.shape)
            parameter.copy_(weights[f"{name}.{part}"][corner])
    return thin.eval()


def _layers(thin: ThinAutoencoder) -> Iterator[tuple[str, nn.Conv2d, int]]:
    """(name in TAESD, convolution, output channels there) of every layer; those that are left out yield zeros."""
    encoder = [(f"taesd_encoder.{at}", stage) for at, stage in zip((0, 2, 6, 10), thin.encoder, strict=True)]
    decoder = [(f"taesd_decoder.{at}", stage) for at, stage in zip((1, 7, 12, 17), thin.decoder, strict=True)]
    for name, stage in encoder + decoder:
        prefix, _, at = name.rpartition(".")
        enter, *blocks = stage
        first_block = int(at) + 1
        if isinstance(enter, nn.Sequential):
            enter, first_block = enter[0], first_block + 1
        yield name, enter, TAESD_CHANNELS
        blocks = [block for block in blocks if isinstance(block, Block)]
        for i in range(1 if name in WHOLE_SIZE else TAESD_BLOCKS):
            for j in (0, 2, 4):
                conv = blocks[i].conv[j] if i < len(blocks) else Block(1).conv[4]
                yield f"{prefix}.{first_block + i}.conv.{j}", conv, TAESD_CHANNELS
    yield "taesd_encoder.14", thin.to_latent, LATENT_CHANNELS
    yield "taesd_decoder.19", thin.to_picture, 3


@torch.no_grad()
def _without_spread(thin: ThinAutoencoder) -> ThinAutoencoder:
    """A copy that computes the same with the normalisation moved into ``to_latent``."""
    thin = copy.deepcopy(thin)
    spread = torch.sqrt(thin.spread.running_var + thin.spread.eps)
    thin.to_latent.weight /= spread[:, None, None, None]
    thin.to_latent.bias.sub_(thin.spread.running_mean).div_(spread)
    thin.spread.running_mean.zero_()
    thin.spread.running_var.fill_(1 - thin.spread.eps)
    return thin


def _padded(name: str, conv: nn.Conv2d, outputs: int) -> dict[str, torch.Tensor]:
    """A convolution's weights filled up with zeros to TAESD's channels."""
    inputs = conv.in_channels if conv.in_channels in (3, LATENT_CHANNELS) else TAESD_CHANNELS
    weight = torch.zeros(outputs, inputs, 3, 3)
    weight[: conv.out_channels, : conv.in_channels] = conv.weight.detach()
    padded = {f"{name}.weight": weight}
    if conv.bias is not None:
        padded[f"{name}.bias"] = torch.zeros(outputs)
        padded[f"{name}.bias"][: conv.out_channels] = conv.bias.detach()
    return padded
