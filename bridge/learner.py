"""One training: the private copies, what of them is trained, the loss of a draw, and the result so far."""

from __future__ import annotations

import dataclasses

import comfy.sd
import torch

from ..training import weights
from ..training.data import draw
from ..training.losses import stack_contexts, triple_reconstruction_loss
from ..training.optimizer import BackwardAdam
from ..training.prompts import Prompts
from ..training.settings import Settings
from . import text_encoder_copy, unet_copy
from .patched_weights import PatchedWeights

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a training reads; ``images`` are lists of IMAGE batches [B, H, W, C] by the name of their socket."""

    model: object
    clip: object
    vae: object
    prompts: Prompts
    images: dict[str, list[torch.Tensor]]
    settings: Settings

    def texts(self) -> list[str]:
        """The prompt of each term of equation 4, in the order of ``images``."""
        prompts = {name: getattr(self.prompts, name) for name in ("source", "target", "auxiliary")}
        return [prompts[name.partition("_")[0]] for name in self.images]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """The inputs as the UNet sees them, one entry a term of equation 4.

    ``latents`` [n_i, 4, h, w], ``tokens`` of ``clip.tokenize``, ``contexts`` [1, L_i, channels], and ``sigmas`` [T].
    """

    latents: list[torch.Tensor]
    tokens: list[dict]
    contexts: list[torch.Tensor]
    sigmas: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Result:
    """A training's weights as they are in its file, and the file's metadata."""

    weights: dict[str, torch.Tensor]
    metadata: dict[str, str]

    @property
    def losses(self) -> list[float]:
        """The loss of every step."""
        return weights.read_training(self.metadata)["losses"]

    def applied_to(self, model, clip) -> tuple:
        """Clones of MODEL and CLIP with the weights applied by the function that ComfyUI's LoRA loader uses."""
        return comfy.sd.load_lora_for_models(model, clip, self.weights, 1.0, 1.0, lora_metadata=self.metadata)


class Learner:
    """Private, trainable copies of the UNet and, if that is trained, of the text encoder; on the CPU until `to`."""

    def __init__(self, inputs: Inputs, encoded: Encoded):
        self._inputs = inputs
        self._encoded = encoded
        self._settings = inputs.settings
        self._dtype = DTYPES[self._settings.precision]
        self.generator = torch.Generator().manual_seed(self._settings.seed)
        self._unet = unet_copy.copy_unet(inputs.model)
        self._groups = unet_copy.select_trainable(
            self._unet, self._settings.method, self._settings.rank, self.generator
        )
        self._encoder = None
        if self._settings.train_text_encoder:
            self._encoder = text_encoder_copy.copy_text_encoder(inputs.clip)
            self._token_rows = text_encoder_copy.keep_token_rows(self._encoder, encoded.tokens)
            self._groups["text_encoder"] = text_encoder_copy.select_trainable(self._encoder, encoded.tokens[0])
        unet_copy.store_frozen_layers_as(self._unet, self._dtype)
        if self._settings.gradient_checkpointing:
            unet_copy.checkpoint_blocks(self._unet)

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """Every trained parameter by its name in a weights file."""
        return {name: parameter for group in self._groups.values() for name, parameter in group.items()}

    @property
    def saved(self) -> int:
        """How many numbers a weights file holds: those trained, and a whole token table for the trained rows of it."""
        missing = 0 if self._encoder is None else self._token_rows.missing
        return missing + sum(parameter.numel() for parameter in self.trained.values())

    def to(self, device: torch.device) -> BackwardAdam:
        """Move everything that a step needs to ``device``; returns the optimizer of what is there."""
        self._unet.to(device)
        self._eps_theta = unet_copy.eps_theta(self._unet, self._dtype)
        self._sigmas = self._encoded.sigmas.to(device)
        self._latents = [z.to(device) for z in self._encoded.latents]
        self._context = stack_contexts(self._encoded.contexts).to(device)
        if self._encoder is not None:
            self._encoder.to(device).set_clip_options({"execution_device": device})
        return BackwardAdam(self._groups, self._settings.step_size, scale_loss=self._dtype == torch.float16)

    def loss_of_a_draw(self) -> torch.Tensor:
        """Equation 4 on one draw, all terms in one forward pass."""
        sample = draw(self._latents, len(self._sigmas), self.generator)
        return triple_reconstruction_loss(self._eps_theta, sample.z, sample.t, sample.eps, self._c(), self._sigmas)

    def _c(self) -> torch.Tensor:
        if self._encoder is None:
            return self._context
        return stack_contexts([text_encoder_copy.encode(self._encoder, tokens) for tokens in self._encoded.tokens])

    def result(self, losses: list[float], fingerprint: str) -> Result:
        """The weights as they are now, after ``len(losses)`` steps."""
        unet = PatchedWeights(self._inputs.model, unet_copy.UNET)
        encoder = PatchedWeights(self._inputs.clip.patcher)

        trained = self.trained
        if self._encoder is not None:
            name = text_encoder_copy.TOKEN_TABLE
            trained[text_encoder_copy.TEXT_ENCODERS + name] = self._token_rows.within(encoder[name])

        def untrained(name: str) -> torch.Tensor:
            if name.startswith(text_encoder_copy.TEXT_ENCODERS):
                return encoder[name.removeprefix(text_encoder_copy.TEXT_ENCODERS)]
            return unet[name]

        base_model = unet_copy.name_of(self._inputs.model)
        return Result(
            weights.trained_weights(trained, untrained, self._settings.rank),
            weights.describe(self._inputs.prompts, self._settings, losses, fingerprint, base_model),
        )
