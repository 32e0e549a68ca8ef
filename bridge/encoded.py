"""The inputs of a training as the UNet sees them: latents and conditions."""

from __future__ import annotations

import dataclasses

import torch

from ..training.losses import CONTEXT
from .training_inputs import TERMS, Inputs

IMAGES_PER_ENCODE = 4
LATENT_CHANNELS = 4


@dataclasses.dataclass(frozen=True)
class EncodedPrompt:
    """A prompt: the ``tokens`` of ``clip.tokenize``, and its ``condition``, the UNet's inputs by name, of one row."""

    tokens: dict[str, list]
    condition: dict[str, torch.Tensor]


@dataclasses.dataclass(frozen=True)
class EncodedTerm:
    """One term of equation 4: its name, the latents [n, 4, h, w] of its images, and its prompt."""

    name: str
    latents: torch.Tensor
    prompt: EncodedPrompt


def encode(inputs: Inputs, pixels: dict[str, torch.Tensor], tokens: dict[str, dict]) -> list[EncodedTerm]:
    """The terms of equation 4, from images [n, H, W, 3] and tokens by socket; raises ValueError for another VAE."""
    latents = {socket: _latents(inputs, batch) for socket, batch in pixels.items()}
    return [
        EncodedTerm(TERMS[socket], latents[socket], encode_prompt(inputs.clip, tokens[socket])) for socket in pixels
    ]


def encode_prompt(clip, tokens: dict[str, list]) -> EncodedPrompt:
    """The prompt with the text embedding of CLIPTextEncode, [1, 77 * chunks, channels]."""
    with torch.inference_mode():
        context = clip.encode_from_tokens(tokens)
    with torch.inference_mode(False):
        return EncodedPrompt(tokens, {CONTEXT: context.float().clone()})


def _latents(inputs: Inputs, pixels: torch.Tensor) -> torch.Tensor:
    """z [n, 4, h, w] of images [n, H, W, 3], scaled as the UNet expects it."""
    with torch.inference_mode():
        encoded = torch.cat([inputs.vae.encode(part) for part in pixels.split(IMAGES_PER_ENCODE)])
        if encoded.ndim != 4 or encoded.shape[1] != LATENT_CHANNELS:
            raise ValueError("`vae` is not that of a Stable Diffusion 1.x model: connect the one of its checkpoint.")
        z = inputs.model.model.process_latent_in(encoded)
    with torch.inference_mode(False):
        return z.float().clone()
