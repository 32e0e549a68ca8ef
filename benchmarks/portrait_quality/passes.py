"""StyO on one pair of portraits, through the pack's own nodes: train, then the passes that make pictures."""

from __future__ import annotations

import dataclasses

import torch
from shared.output_folder import temporary_output
from shared.passes import SOURCE_SEED, Passes
from styo.bridge.idl import learn
from styo.bridge.training_inputs import Inputs
from styo.demo.comfy_model import load_demo_model
from styo.nodes.inversion import StyOInvertSource
from styo.nodes.prompts import StyOEncodePrompts

from .recipe import Recipe

DENOISE = 0.6
"""How much of sampling image to image goes through."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """A MODEL, CLIP and VAE."""

    model: object
    clip: object
    vae: object

    @classmethod
    @torch.inference_mode()
    def demo(cls) -> Parts:
        """Those of StyO Demo Model."""
        return cls(*load_demo_model())

    @torch.inference_mode()
    def encode(self, image: torch.Tensor) -> dict:
        """The LATENT of an IMAGE [N, H, W, 3]."""
        return {"samples": self.vae.encode(image)}

    @torch.inference_mode()
    def decode(self, latent: dict) -> torch.Tensor:
        """The IMAGE [N, H, W, 3] of a LATENT."""
        return self.vae.decode(latent["samples"]).float().clamp(0, 1)


@torch.inference_mode()
def train(parts: Parts, images: dict[str, torch.Tensor], recipe: Recipe) -> Parts:
    """``parts`` as StyO IDL Train returns them; ``images`` are IMAGEs by the name of that node's socket.

    What the node writes to disk is gone afterwards.
    """
    sockets = {name: [image] for name, image in images.items()}
    inputs = Inputs(parts.model, parts.clip, parts.vae, recipe.prompts, sockets, recipe.settings)
    with temporary_output():
        trained = learn(inputs, "loras/StyO/portrait", None).applied_to(parts.model, parts.clip)
    return Parts(*trained, parts.vae)


class PortraitPasses(Passes):
    """The passes over trained parts, from photos as IMAGEs."""

    @torch.inference_mode()
    def __init__(self, parts: Parts, recipe: Recipe):
        source, self.target, self.auxiliary, stylized = StyOEncodePrompts.execute(parts.clip, recipe.prompts).args
        negative = parts.clip.encode_from_tokens_scheduled(parts.clip.tokenize(""))
        empty = {"samples": torch.zeros(1, 4, recipe.resolution // 8, recipe.resolution // 8)}
        sampling = (recipe.sampling_steps, recipe.cfg, recipe.sampler, recipe.scheduler)
        super().__init__(parts.model, source, stylized, negative, empty, sampling)
        self.parts, self.recipe = parts, recipe

    def image_to_image(self, image: torch.Tensor, seed: int, positive=None) -> dict:
        """The photo noised to ``DENOISE`` and sampled under ``positive``, or under the stylized prompt."""
        latent = self.parts.encode(image)
        return self.sample(self.model, positive or self.stylized, latent, seed, denoise=DENOISE)

    def captured_stylization(self, seed: int) -> dict:
        """The stylization pass without FCC, under StyO Attention Capture: the same picture, and its own maps."""
        return self.captured(self.stylized, self.empty, seed)

    def forward_diffused(self, image: torch.Tensor) -> dict:
        """The source pass from the forward-diffused photo: denoise 1 adds the encoded photo to the highest noise."""
        return self.captured(self.source, self.parts.encode(image), SOURCE_SEED)

    @torch.inference_mode()
    def inverted(self, image: torch.Tensor) -> dict:
        """The source pass at cfg 1 from the noise that StyO Invert Source finds behind the photo."""
        how = (self.recipe.sampling_steps, self.recipe.scheduler, self.recipe.iterations)
        noise = StyOInvertSource.execute(self.model, self.source, self.parts.encode(image), *how)[0]
        return self.captured(self.source, noise, SOURCE_SEED, cfg=1.0, disable_noise=True)
