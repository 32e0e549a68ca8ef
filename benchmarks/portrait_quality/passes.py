"""StyO on one pair of portraits, through the pack's own nodes: train, then the passes that make pictures."""

from __future__ import annotations

import dataclasses
import functools

import torch
from shared.output_folder import temporary_output
from styo.bridge.demo_model import load_demo_model
from styo.bridge.idl import learn
from styo.bridge.training_inputs import Inputs
from styo.nodes.attention import StyOAttentionCapture, StyOAttentionInject
from styo.nodes.inversion import StyOInvertSource
from styo.nodes.prompts import StyOEncodePrompts

import nodes

from .recipe import Recipe


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

    def from_noise(self, seed: int) -> Start:
        """Both passes from the noise of ``seed``."""
        side = self.recipe.resolution // 8
        return Start(self, {"samples": torch.zeros(1, 4, side, side)}, seed, self.recipe.cfg, noised=True)

    def from_inverted(self, image: torch.Tensor) -> Start:
        """Both passes from the noise that StyO Invert Source finds behind ``image``; the source pass takes cfg 1."""
        recipe, latent = self.recipe, self.parts.encode(image)
        with torch.inference_mode():
            how = (recipe.sampling_steps, recipe.scheduler, recipe.iterations)
            noise = StyOInvertSource.execute(self.parts.model, self.source, latent, *how)[0]
        return Start(self, noise, 0, 1.0, noised=False)


@dataclasses.dataclass(frozen=True)
class Start:
    """The source pass and the stylization pass from one and the same noise."""

    passes: Passes
    latent: dict
    seed: int
    source_cfg: float
    noised: bool

    @functools.cached_property
    def source(self) -> dict:
        """The source pass under StyO Attention Capture: the source's portrait again, and its maps."""
        return self._captured(self.passes.source, self.source_cfg)

    def stylized(self, fcc: bool = True) -> dict:
        """The stylization pass, with the source pass's maps (StyO Attention Inject) or without."""
        model = self.passes.parts.model
        if fcc:
            with torch.inference_mode():
                (model,) = StyOAttentionInject.execute(model, self.source, 1.0, 0.0, 1.0).args
        return self.passes.sample(model, self.passes.stylized, self.latent, self.seed, noised=self.noised)

    def stylized_with_own_maps(self) -> dict:
        """The stylization pass without FCC, under StyO Attention Capture: the same picture, and its own maps."""
        return self._captured(self.passes.stylized)

    def _captured(self, positive, cfg: float | None = None) -> dict:
        with torch.inference_mode():
            model, latent = StyOAttentionCapture.execute(self.passes.parts.model, self.latent).args
        return self.passes.sample(model, positive, latent, self.seed, cfg, noised=self.noised)
