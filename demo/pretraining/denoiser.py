"""Training the demo model's UNet: noise prediction on latents of captioned portraits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...bridge.unet_copy import PlainLayers, autocast
from ...training.losses import add_noise
from ..shapes import UNET
from ..weights import Weights
from . import parallel
from .captions import TOLD, Captions
from .first_attention import attend_to_identifiers
from .fit import SEED, fit, precision, seeded
from .layout import PARTS, Layout
from .text_encoder import TextEncoder, initialize

BATCH = 48
LEARNING_RATE = 2e-3
FEATURES_COUNT = 3.0
"""How much more an error of the noise counts where eyes and mouth are: a few of the latent's positions."""
LAYOUT_COUNTS = 0.25
"""Weight of the attention maps' error."""
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

    def eps_theta(self, z_t: torch.Tensor, t: torch.Tensor, c: torch.Tensor, layout: Layout) -> torch.Tensor:
        """The noise [N, 4, h, w] predicted for ``z_t`` at timesteps ``t`` [N] under text embeddings ``c``."""
        options = {"optimized_attention_override": layout}
        with autocast(z_t.device, precision(z_t.device)):
            return self.unet(z_t, t.float(), context=c, transformer_options=options).float()


@dataclasses.dataclass(frozen=True)
class Samples:
    """Portraits to learn from: ``latents`` [N, 4, h, w], ``codes`` [N, parameters], ``masks`` [N, parts, h, w]."""

    latents: torch.Tensor
    codes: torch.Tensor
    masks: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, picks) -> Samples:
        return Samples(self.latents[picks], self.codes[picks], self.masks[picks])

    def to(self, device) -> Samples:
        """The same on a device."""
        return Samples(self.latents.to(device), self.codes.to(device), self.masks.to(device))


def noise_and_layout_error(
    denoiser: Denoiser,
    captions: Captions,
    samples: Samples,
    sigmas: torch.Tensor,
    least_noise: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(error of the noise, error of the attention maps) of a batch of ``samples``, at some of the noises ``sigmas`` [T].

    The error of the noise is weighted as that of v (arXiv 2202.00512, section 4), and where eyes and mouth are.
    Half of the timesteps are drawn in proportion to their number: with an even share the steps at high noise would
    hardly count, and it is there that words have to decide about pose and colours. Only timesteps from the share
    ``least_noise`` of the schedule on are drawn.
    """
    device, batch = samples.latents.device, len(samples)
    kinds = captions.draw(batch, generator)
    embeddings = captions.embed(kinds, samples.codes.cpu(), denoiser.encoder.words, generator)
    with torch.no_grad():
        context = denoiser.encoder.context(embeddings)
    eps = torch.randn(samples.latents.shape, generator=generator).to(device)
    spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    spread = torch.where(torch.rand(batch, generator=generator) < 0.5, spread.sqrt(), spread)
    t = ((least_noise + (1 - least_noise) * spread) * len(sigmas)).long().clamp(max=len(sigmas) - 1).to(device)
    layout = Layout.draw(samples.masks, captions.content[kinds], generator)
    prediction = denoiser.eps_theta(add_noise(samples.latents, eps, sigmas[t]), t, context, layout)
    eyes, mouth = (samples.masks[:, PARTS.index(part)] for part in ("eyes", "mouth"))
    where = 1 + FEATURES_COUNT * torch.maximum(eyes, mouth)[:, None]
    error = (where * (eps - prediction) ** 2).sum((1, 2, 3)) / (eps.shape[1] * where.sum((1, 2, 3)))
    return ((1 + sigmas[t] ** 2) * error).mean(), layout.error


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
