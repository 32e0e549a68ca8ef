"""Training the demo model's UNet: noise prediction on latents of captioned portraits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...bridge.unet_copy import PlainLayers, autocast
from ...styo_attention.columns import split_heads
from ...training.losses import add_noise
from ..shapes import UNET
from ..weights import Weights
from . import parallel
from .captions import TOLD, Captions
from .first_attention import attend_to_identifiers
from .fit import SEED, fit, precision, seeded
from .text_encoder import TextEncoder, initialize

BATCH = 48
LEARNING_RATE = 2e-3
EXAMPLES = 512
"""Captions that tell the first attention apart."""


class Denoiser(torch.nn.Module):
    """The UNet, and the text encoder whose captions it is trained with; that one is trained already, and stays."""

    def __init__(self, encoder: TextEncoder):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.unet = UNetModel(**UNET, dtype=torch.float32, operations=PlainLayers)
        initialize(self.unet)
        for name, parameter in self.unet.named_parameters():
            if name.endswith(("out_layers.3.weight", "proj_out.weight", "out.2.weight")):
                torch.nn.init.zeros_(parameter)

    @classmethod
    def first(cls, encoder: TextEncoder, captions: Captions, codes: torch.Tensor) -> Denoiser:
        """One to train from nothing but a trained text encoder of ``captions`` of ``codes`` [N, parameters]."""
        with seeded(), torch.no_grad():
            denoiser = cls(encoder)
            generator = torch.Generator().manual_seed(SEED)
            kinds = captions.draw(EXAMPLES, generator)
            picks = torch.randint(len(codes), (EXAMPLES,), generator=generator)
            embeddings = captions.embed(kinds, codes[picks], encoder.words, generator)
            telling = [i for i, used in enumerate(TOLD) if used is not None]
            columns = captions.places[telling][:, kinds]
            attend_to_identifiers(denoiser.unet, encoder.context(embeddings).cpu(), columns)
        return denoiser

    @classmethod
    def of(cls, weights: Weights, encoder: TextEncoder) -> Denoiser:
        """The UNet of a weights file."""
        denoiser = cls(encoder)
        denoiser.unet.load_state_dict(weights.unet)
        return denoiser

    def eps_theta(self, z_t: torch.Tensor, t: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """The noise [N, 4, h, w] predicted for latents ``z_t`` at timesteps ``t`` [N] under text embeddings ``c``."""
        with autocast(z_t.device, precision(z_t.device)):
            return self.unet(z_t, t.float(), context=c, transformer_options=ATTENTION).float()


def attention(_, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args, **kwargs):
    """Attention [N, tokens, heads * d]; forms its maps where torch's fused kernel has the slower backward pass."""
    q, k, v = (split_heads(x, heads) for x in (q, k, v))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        attended = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
    else:
        attended = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).flatten(2)


ATTENTION = {"optimized_attention_override": attention}


def train_denoiser(
    denoiser: Denoiser,
    captions: Captions,
    latents: torch.Tensor,
    codes: torch.Tensor,
    sigmas: torch.Tensor,
    least_noise: float,
    steps: int,
    state: Path,
    device: str,
    report: Callable[[Denoiser, int], None],
) -> Denoiser:
    """A ``denoiser`` trained on ``latents`` [N, 4, h, w] of portraits of ``codes`` [N, parameters], at ``sigmas`` [T].

    The error of the noise is weighted as that of v (arXiv 2202.00512, section 4), and timesteps are drawn in proportion
    to their number: with an even share the steps at high noise would hardly count, and it is there that words have to
    decide about pose and colours. Only timesteps from the share ``least_noise`` of the schedule on are drawn; a network
    that begins with high noise alone learns in a few thousand pictures what words mean, and one that begins with all of
    them has not after a hundred thousand. ``report(average, step)`` runs at every save and at the end.
    """
    denoiser.to(device).unet.requires_grad_(True)
    sigmas = sigmas.to(device)
    batch = BATCH // parallel.processes()

    def loss_of(generator: torch.Generator) -> torch.Tensor:
        picks = torch.randint(len(latents), (batch,), generator=generator)
        kinds = captions.draw(batch, generator)
        embeddings = captions.embed(kinds, codes[picks], denoiser.encoder.words, generator)
        z, eps = latents[picks].to(device), torch.randn((batch, *latents.shape[1:]), generator=generator).to(device)
        spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
        t = (
            ((least_noise + (1 - least_noise) * spread.sqrt()) * len(sigmas))
            .long()
            .clamp(max=len(sigmas) - 1)
            .to(device)
        )
        context = denoiser.encoder.context(embeddings)
        prediction = denoiser.eps_theta(add_noise(z, eps, sigmas[t]), t, context)
        weight = 1 + sigmas[t] ** 2
        return (weight * ((eps - prediction) ** 2).mean((1, 2, 3))).mean()

    return fit(denoiser, loss_of, steps, LEARNING_RATE, state, report)
