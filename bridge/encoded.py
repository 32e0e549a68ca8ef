"""The inputs of a training, encoded: latents and text embeddings."""

from __future__ import annotations

import dataclasses

import torch

from .conditioning import TextEmbedding
from .model_kind import family_of
from .training_inputs import TERMS, Inputs

IMAGES_PER_ENCODE = 4


@dataclasses.dataclass(frozen=True)
class EncodedPrompt:
    """A prompt: the ``tokens`` of ``clip.tokenize``, and the ``embedding`` that the untrained text encoders give."""

    tokens: dict[str, list]
    embedding: TextEmbedding


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
    """The prompt with the text embedding of CLIPTextEncode."""
    with torch.inference_mode():
        encoded = clip.encode_from_tokens(tokens, return_pooled=True)
    with torch.inference_mode(False):
        return EncodedPrompt(tokens, TextEmbedding(*(part.float().clone() for part in encoded)))


def _latents(inputs: Inputs, pixels: torch.Tensor) -> torch.Tensor:
    """z [n, channels, h, w] of images [n, H, W, 3], scaled as the UNet expects it."""
    with torch.inference_mode():
        latent_format = inputs.model.get_model_object("latent_format")
        encoded = torch.cat([inputs.vae.encode(part) for part in pixels.split(IMAGES_PER_ENCODE)])
        if encoded.ndim != 4 or encoded.shape[1] != latent_format.latent_channels:
            name = family_of(inputs.model).name
            raise ValueError(f"`vae` is not that of a {name} model: connect the one of its checkpoint.")
        if not torch.isfinite(encoded).all():
            raise ValueError("`vae` gives values that are nan or infinite: start ComfyUI without --fp16-vae.")
        z = latent_format.process_in(encoded)
    with torch.inference_mode(False):
        return z.float().clone()
