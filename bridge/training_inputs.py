"""What a training reads, checked, and the fingerprint that tells it from every other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch

from ..training.data import to_square
from ..training.prompts import Prompts
from ..training.resume import Fingerprint
from ..training.settings import Settings
from .model_kind import EPSILON, prediction_of
from .patched_weights import PatchedWeights
from .unet_copy import UNET

SAMPLING = "model_sampling"
TERMS = {"source_image": "source", "target_image": "target", "auxiliary_images": "auxiliary"}
"""The terms of equation 4, named as their prompts are, by the socket of their images."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a training reads; ``images`` are lists of IMAGE batches [B, H, W, C] by the name of their socket."""

    model: object
    clip: object
    vae: object
    prompts: Prompts
    images: dict[str, list[torch.Tensor]]
    settings: Settings

    def pixels(self) -> dict[str, torch.Tensor]:
        """Every image of a socket as [n, resolution, resolution, 3]; raises ValueError, naming the socket."""
        return {socket: self._squares(socket) for socket in self.images}

    def tokens(self) -> dict[str, dict[str, list]]:
        """The tokens of each term's prompt, by the term's socket."""
        return {socket: self.clip.tokenize(getattr(self.prompts, TERMS[socket])) for socket in self.images}

    def _squares(self, socket: str) -> torch.Tensor:
        squares = []
        if not self.images[socket]:
            raise ValueError(f"{socket} holds no image: connect an IMAGE.")
        for batch in self.images[socket]:
            shape = tuple(batch.shape)
            if len(shape) != 4 or shape[-1] not in (1, 3, 4) or 0 in shape:
                raise ValueError(f"{socket} has the shape {shape}: connect an IMAGE [images, height, width, channels].")
            if not torch.isfinite(batch).all():
                raise ValueError(f"{socket} holds pixels that are nan or infinite: check the node that makes it.")
            squares += [to_square(image.cpu(), self.settings.resolution) for image in batch]
        return torch.stack(squares)


def shared_picture(pixels: Mapping[str, torch.Tensor]) -> bool:
    """Whether one of the source's images [n, H, W, 3] is also one of the target's; without either, none is."""
    source, target = (pixels.get(name, ()) for name in ("source_image", "target_image"))
    return any(torch.equal(first, second) for first in source for second in target)


def fingerprint_of(
    inputs: Inputs, sigmas: torch.Tensor, pixels: dict[str, torch.Tensor], tokens: dict[str, dict]
) -> str:
    """A digest of what decides the training: latents and text embeddings follow from what is taken in here."""
    fingerprint = Fingerprint()
    fingerprint.add_settings([inputs.settings.deciding(), inputs.clip.layer_idx])
    if (prediction := prediction_of(inputs.model)) != EPSILON:
        fingerprint.add_settings(prediction)
    fingerprint.add_tensor("sigmas", sigmas)
    for socket, batch in pixels.items():
        fingerprint.add_tensor(socket, batch)
    chunks = (chunk for prompt in tokens.values() for encoder in prompt.values() for chunk in encoder)
    for token, weight, *_ in (entry for chunk in chunks for entry in chunk):
        if isinstance(token, torch.Tensor):
            fingerprint.add_tensor("embedding", token)
        else:
            fingerprint.add_settings([int(token), weight])
    fingerprint.add_weights(PatchedWeights(inputs.model, UNET).items())
    # The MODEL's own: its clones share one network, in which the sampling of the one that ran last may still stand.
    sampling = inputs.model.get_model_object(SAMPLING).state_dict()
    fingerprint.add_weights((f"{SAMPLING}.{name}", buffer) for name, buffer in sampling.items())
    for patcher in (inputs.clip.patcher, inputs.vae.patcher):
        fingerprint.add_weights(PatchedWeights(patcher).items())
    return fingerprint.hexdigest()
