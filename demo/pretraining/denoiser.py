"""Training the demo model's UNet: v-prediction on latents of captioned portraits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ...bridge.unet_copy import PlainLayers, autocast
from ...training.losses import add_noise
from ..shapes import LATENT_CHANNELS, LATENT_SIDE, UNET
from ..weights import Weights
from ..words import CONTENT
from . import parallel
from .captions import TOLD, Captions
from .first_attention import attend_to_identifiers
from .fit import SEED, fit, normal, on_accelerator, precision, seeded
from .layout import PARTS, Layout
from .pictures import Stream
from .text_encoder import TextEncoder, initialize

BATCH, ACCELERATED_BATCH = 48, 512
LEARNING_RATE = 2e-3
FEATURES_COUNT = 3.0
"""How much more an error counts where eyes and mouth are: a few of the latent's positions."""
LAYOUT_COUNTS = 0.25
"""Weight of the attention maps' error."""
CONFLICT = (0.6, 3.0)
"""Noises between which what is seen in them comes to count less than what maps say."""
MOVED = 3
"""By how many of the latent's positions a portrait is at most somewhere else."""
USES, ACCELERATED_USES = 32, 8
"""How often a portrait's latent is used, each time with other noise: an accelerator leaves the CPU to the renderer."""
FIRST = 2000
"""Portraits that there are from the first step on."""
ENCODE_BATCH = 64
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

    def velocity(self, z_t: torch.Tensor, t: torch.Tensor, c: torch.Tensor, layout: Layout) -> torch.Tensor:
        """The v [N, channels, h, w] predicted for ``z_t`` at timesteps ``t`` [N] under text embeddings ``c``."""
        options = {"optimized_attention_override": layout}
        with autocast(z_t.device, precision(z_t.device)):
            return self.unet(z_t, t.float(), context=c, transformer_options=options).float()


@dataclasses.dataclass
class Pool:
    """Latents on a device, with the masks and codes of their portraits; one by one they come from a stream.

    Attributes:
        latents: [N, channels, h, w] in the UNet's scale, in half precision.
        codes: [N, parameters], on the CPU.
        masks: [N, parts, h, w].
        filled: how many of the N are there.
    """

    latents: torch.Tensor
    codes: torch.Tensor
    masks: torch.Tensor
    filled: int = 0

    @classmethod
    def of(cls, count: int, device: str) -> Pool:
        """One for ``count`` portraits, still empty."""
        half = {"dtype": torch.float16, "device": device}
        latents, masks = (
            torch.empty(count, n, LATENT_SIDE, LATENT_SIDE, **half) for n in (LATENT_CHANNELS, len(PARTS))
        )
        return cls(latents, torch.empty(count, CONTENT.stop), masks)

    @torch.no_grad()
    def fill(self, count: int, stream: Stream, encode: Callable[[torch.Tensor], torch.Tensor]):
        """Have the first ``count`` portraits of the stream, or all that there is room for."""
        while self.filled < min(count, len(self.latents)):
            part = slice(self.filled, min(self.filled + ENCODE_BATCH, count, len(self.latents)))
            portraits = stream.at(part.start, part.stop - part.start)
            self.latents[part] = encode(portraits.pictures)
            self.codes[part], self.masks[part] = portraits.codes, portraits.masks
            self.filled = part.stop

    def drawn(self, count: int, generator: torch.Generator) -> Pool:
        """``count`` of those that are there, by chance."""
        picks = torch.randint(self.filled, (count,), generator=generator)
        return Pool(self.latents[picks].float(), self.codes[picks], self.masks[picks].float(), count)


def velocity_and_layout_error(
    denoiser: Denoiser,
    captions: Captions,
    samples: Pool,
    sigmas: torch.Tensor,
    least_noise: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(error of v, error of the attention maps) of a batch of ``samples``, at some of the ``sigmas`` [T].

    v (arXiv 2202.00512, appendix D) is as large at every noise, where what noise hides of a picture is a small part of
    eps: so colours are learned early. Its error counts most where eyes and mouth are.

    Half of the timesteps are drawn in proportion to their number: with an even share the steps at high noise would
    hardly count, and it is there that words have to decide about pose and colours. Only timesteps from the share
    ``least_noise`` of the schedule on are drawn.

    Where maps are forced, what is seen through much noise may be somewhere else than they say: they are right, or FCC
    would come too late in every step but the first.
    """
    device, batch = samples.latents.device, len(samples.codes)
    kinds = captions.draw(batch, generator)
    embeddings = captions.embed(kinds, samples.codes, denoiser.encoder.words, generator)
    with torch.no_grad():
        context = denoiser.encoder.context(embeddings)
    eps = normal(samples.latents.shape, generator, device)
    spread = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    spread = torch.where(torch.rand(batch, generator=generator) < 0.5, spread.sqrt(), spread)
    t = ((least_noise + (1 - least_noise) * spread) * len(sigmas)).long().clamp(max=len(sigmas) - 1).to(device)
    layout = Layout.draw(samples.masks, captions.content[kinds], captions.style[kinds], generator)
    drift = layout.placed * torch.rand(batch, generator=generator).to(device) * _conflict(sigmas[t])
    seen = torch.lerp(samples.latents, elsewhere(samples.latents, generator), drift[:, None, None, None])
    prediction = denoiser.velocity(add_noise(seen, eps, sigmas[t]), t, context, layout)
    sigma = sigmas[t][:, None, None, None]
    v = (eps + (seen - samples.latents) / sigma - sigma * samples.latents) / (1 + sigma**2) ** 0.5
    eyes, mouth = (samples.masks[:, PARTS.index(part)] for part in ("eyes", "mouth"))
    where = 1 + FEATURES_COUNT * torch.maximum(eyes, mouth)[:, None]
    error = (where * (v - prediction) ** 2).sum((1, 2, 3)) / (v.shape[1] * where.sum((1, 2, 3)))
    return error.mean(), layout.error


def _conflict(sigmas: torch.Tensor) -> torch.Tensor:
    """How far what is seen may be from what the maps say, at each noise: not at all below CONFLICT, wholly above."""
    low, high = (math.log(sigma) for sigma in CONFLICT)
    return ((sigmas.log() - low) / (high - low)).clamp(0, 1)


def elsewhere(latents: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """``latents`` [N, channels, h, w], each moved by some positions, and half of them mirrored."""
    side = torch.arange(LATENT_SIDE)
    right, down = torch.randint(-MOVED, MOVED + 1, (2, len(latents), 1), generator=generator)
    rows, columns = ((side - by).clamp(0, LATENT_SIDE - 1) for by in (down, right))
    mirrored = torch.rand(len(latents), 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    places = (rows[:, :, None] * LATENT_SIDE + columns[:, None]).flatten(1).to(latents.device)
    return latents.flatten(2).gather(2, places[:, None].expand(-1, latents.shape[1], -1)).view_as(latents)


def portraits_for(latents: int, device: str) -> int:
    """How many portraits there are to be once so many ``latents`` are used."""
    return FIRST + latents // (ACCELERATED_USES if on_accelerator(device) else USES)


def train_denoiser(
    denoiser: Denoiser,
    captions: Captions,
    pool: Pool,
    fill: Callable[[int], None],
    sigmas: torch.Tensor,
    least_noise: float,
    latents: int,
    state: Path,
    device: str,
    report: Callable[[Denoiser, int], None],
) -> Denoiser:
    """A ``denoiser`` trained on ``latents`` of the pool, which ``fill(count)`` fills, at ``sigmas`` [T].

    A network that begins with high noise alone learns in a few thousand pictures what words mean, and one that begins
    with all of it has not after a hundred thousand: hence ``least_noise``. ``report(average, step)`` runs at every
    save and at the end.
    """
    denoiser.to(device).unet.requires_grad_(True)
    sigmas = sigmas.to(device)
    batch = (ACCELERATED_BATCH if on_accelerator(device) else BATCH) // parallel.processes()

    def loss_of(generator: torch.Generator, step: int) -> torch.Tensor:
        fill(portraits_for((step + 1) * batch, device))
        samples = pool.drawn(batch, generator)
        velocity, layout = velocity_and_layout_error(denoiser, captions, samples, sigmas, least_noise, generator)
        return velocity + LAYOUT_COUNTS * layout

    steps = -(-latents // (batch * parallel.processes()))
    return fit(denoiser, loss_of, steps, LEARNING_RATE, state, report)
