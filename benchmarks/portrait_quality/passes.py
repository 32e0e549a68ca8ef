"""StyO on one pair of portraits, through the pack's own nodes: train, then the passes that make pictures."""

from __future__ import annotations

import dataclasses

import torch
from shared.output_folder import temporary_output
from styo.bridge.idl import learn
from styo.bridge.training_inputs import Inputs
from styo.demo.comfy_model import load_demo_model
from styo.nodes.attention import StyOAttentionCapture, StyOAttentionInject, StyOSourceAttention
from styo.nodes.inversion import StyOInvertSource
from styo.nodes.prompts import StyOEncodePrompts

import nodes

from .recipe import Recipe

DENOISE = 0.6
"""How much of sampling image to image goes through."""
SOURCE_SEED = 0
"""Of the source pass's noise; a stylization's is its own."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """A MODEL, CLIP and VAE."""

    model: object
    clip: object
    vae: object

    @classmethod
    def demo(cls) -> Parts:
        """Those of StyO Demo Model."""
        with torch.inference_mode():
            return cls(*load_demo_model())

    def encode(self, image: torch.Tensor) -> dict:
        """The LATENT of an IMAGE [N, H, W, 3]."""
        with torch.inference_mode():
            return {"samples": self.vae.encode(image)}

    def decode(self, latent: dict) -> torch.Tensor:
        """The IMAGE [N, H, W, 3] of a LATENT."""
        with torch.inference_mode():
            return self.vae.decode(latent["samples"]).float().clamp(0, 1)


def train(parts: Parts, images: dict[str, torch.Tensor], recipe: Recipe) -> Parts:
    """``parts`` as StyO IDL Train returns them; ``images`` are IMAGEs by the name of that node's socket.

    What the node writes to disk is gone afterwards.
    """
    sockets = {name: [image] for name, image in images.items()}
    inputs = Inputs(parts.model, parts.clip, parts.vae, recipe.prompts, sockets, recipe.settings)
    with temporary_output(), torch.inference_mode():
        model, clip = learn(inputs, "loras/StyO/portrait", None).applied_to(parts.model, parts.clip)
    return Parts(model, clip, parts.vae)


class Passes:
    """The passes over trained parts: every method returns a LATENT."""

    def __init__(self, parts: Parts, recipe: Recipe):
        self.parts, self.recipe = parts, recipe
        with torch.inference_mode():
            encoded = StyOEncodePrompts.execute(parts.clip, recipe.prompts).args
            self.negative = parts.clip.encode_from_tokens_scheduled(parts.clip.tokenize(""))
        self.source, self.target, self.auxiliary, self.stylized = encoded

    def sample(
        self, model, positive, latent: dict, seed: int, cfg: float | None = None, denoise=1.0, noised=True
    ) -> dict:
        """What KSampler makes of ``latent``; ``noised`` off is its advanced sibling's `add_noise: disable`."""
        recipe = self.recipe
        cfg = recipe.cfg if cfg is None else cfg
        how = (recipe.sampling_steps, cfg, recipe.sampler, recipe.scheduler, positive, self.negative, latent)
        with torch.inference_mode():
            return nodes.common_ksampler(model, seed, *how, denoise=denoise, disable_noise=not noised)[0]

    def stylization(self, seed: int, source: Source | None = None) -> dict:
        """The stylization pass from the noise of ``seed``, with the maps of ``source`` or free of them."""
        model = self.parts.model
        if source:
            with torch.inference_mode():
                (model,) = StyOAttentionInject.execute(model, source.latent, 1.0, 0.0, 1.0).args
        return self.sample(model, self.stylized, self.empty, seed)

    def source_attention(self, image: torch.Tensor, seed: int) -> dict:
        """The stylization pass under StyO Source Attention, which reads the photo at the noise of every evaluation."""
        with torch.inference_mode():
            latent = self.parts.encode(image)
            node = StyOSourceAttention.execute(self.parts.model, self.source, latent, SOURCE_SEED, 1.0, 0.0, 1.0)
        return self.sample(node.args[0], self.stylized, self.empty, seed)

    def image_to_image(self, image: torch.Tensor, seed: int, positive=None) -> dict:
        """The photo noised to ``DENOISE`` and sampled under ``positive``, or under the stylized prompt."""
        positive = self.stylized if positive is None else positive
        return self.sample(self.parts.model, positive, self.parts.encode(image), seed, denoise=DENOISE)

    def captured_stylization(self, seed: int) -> dict:
        """The stylization pass without FCC, under StyO Attention Capture: the same picture, and its own maps."""
        return self.captured(self.stylized, self.empty, seed)

    def captured(self, positive, latent: dict, seed: int, **how) -> dict:
        """A pass under StyO Attention Capture: its LATENT brings its maps along."""
        with torch.inference_mode():
            model, latent = StyOAttentionCapture.execute(self.parts.model, latent).args
        return self.sample(model, positive, latent, seed, **how)

    @property
    def empty(self) -> dict:
        """The LATENT of no picture."""
        side = self.recipe.resolution // 8
        return {"samples": torch.zeros(1, 4, side, side)}

    def forward_diffused(self, image: torch.Tensor) -> Source:
        """The source pass from the forward-diffused photo: denoise 1 adds the encoded photo to the highest noise."""
        return Source(self.captured(self.source, self.parts.encode(image), SOURCE_SEED))

    def inverted(self, image: torch.Tensor) -> Source:
        """The source pass at cfg 1 from the noise that StyO Invert Source finds behind the photo."""
        recipe, latent = self.recipe, self.parts.encode(image)
        with torch.inference_mode():
            how = (recipe.sampling_steps, recipe.scheduler, recipe.iterations)
            noise = StyOInvertSource.execute(self.parts.model, self.source, latent, *how)[0]
        return Source(self.captured(self.source, noise, SOURCE_SEED, cfg=1.0, noised=False))


@dataclasses.dataclass(frozen=True)
class Source:
    """A source pass's ``latent``: the source's portrait again, and its maps."""

    latent: dict
