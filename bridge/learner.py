"""What is trained: private copies of the UNet and the text encoder, equation 4 on a draw, and the weights so far."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..training import weights
from ..training.data import draw
from ..training.losses import triple_reconstruction_loss
from . import text_encoder_copy, unet_copy
from .conditioning import TextEmbedding, unet_inputs
from .encoded import EncodedPrompt, EncodedTerm
from .patched_weights import PatchedWeights
from .prompt_encoding import identifier_tokens
from .training_inputs import Inputs

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class Learner:
    """Trainable copies on ``device`` of the UNet and, if that is trained, of the text encoder.

    ``terms`` are those of equation 4, and ``sigmas`` [T] those of the training timesteps. ``groups`` holds what is
    trained, by the part of the network and then by its name in a weights file, and ``rates`` the learning rates of the
    parts that have one of their own.
    """

    def __init__(self, inputs: Inputs, terms: Sequence[EncodedTerm], sigmas: torch.Tensor, device: torch.device):
        settings = inputs.settings
        dtype = DTYPES[settings.precision]
        self._inputs = inputs
        self._prompts = [term.prompt for term in terms]
        self.generator = torch.Generator().manual_seed(settings.seed)
        self._device = device
        self._latents = [term.latents.to(device) for term in terms]
        unet = unet_copy.copy_unet(inputs.model, settings.method, dtype)
        self.groups = unet_copy.select_trainable(unet, settings.method, settings.rank, self.generator)
        self._encoder = None
        self.rates: dict[str, float] = {}
        if settings.train_text_encoder or settings.train_identifiers:
            tokens = [prompt.tokens for prompt in self._prompts]
            chosen = identifier_tokens(inputs.clip, inputs.prompts) if settings.identifiers_alone else None
            self._encoder = text_encoder_copy.TrainedTextEncoder(inputs.clip, tokens, device, self._inputs_of, chosen)
            self.groups |= self._encoder.groups
            if settings.identifiers_alone:
                self.rates = dict.fromkeys(self._encoder.groups, settings.identifier_step_size)
        if settings.gradient_checkpointing:
            unet_copy.checkpoint_blocks(unet)
        noise_weights = unet_copy.noise_weights(inputs.model).to(device)
        self.eps_theta = unet_copy.eps_theta(unet.to(device), noise_weights, dtype)
        self.sigmas = sigmas.to(device)
        self._condition = self.condition(self._prompts) if self._encoder is None else None

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """Every trained parameter by its name in a weights file."""
        return {name: parameter for group in self.groups.values() for name, parameter in group.items()}

    @property
    def saved(self) -> int:
        """How many numbers a weights file holds: those trained, and the places of token tables' rows."""
        places = sum(len(rows.rows) * len(rows.ids) for rows in self._token_rows.values())
        return places + sum(parameter.numel() for parameter in self.trained.values())

    def losses_of_a_draw(self) -> torch.Tensor:
        """The terms [N] of equation 4 on one draw, all in one forward pass."""
        sample = draw(self._latents, len(self.sigmas), self.generator)
        condition = self._condition or self.condition(self._prompts)
        return triple_reconstruction_loss(self.eps_theta, sample.z, sample.t, sample.eps, condition, self.sigmas)

    def condition(self, prompts: Sequence[EncodedPrompt]) -> dict[str, torch.Tensor]:
        """What ``eps_theta`` reads of the prompts, a row each, under the weights as they are now."""
        if self._encoder is None:
            return self._inputs_of([prompt.embedding for prompt in prompts])
        return self._inputs_of([self._encoder(prompt.tokens) for prompt in prompts])

    def _inputs_of(self, texts: Sequence[TextEmbedding]) -> dict[str, torch.Tensor]:
        return unet_inputs(self._inputs.model, texts, self._latents[0][:1], self._device)

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights as they are now, as a weights file holds them."""
        unet = PatchedWeights(self._inputs.model, unet_copy.UNET)
        encoder = PatchedWeights(self._inputs.clip.patcher)

        def untrained(name: str) -> torch.Tensor:
            if name.startswith(text_encoder_copy.TEXT_ENCODERS):
                return encoder[name.removeprefix(text_encoder_copy.TEXT_ENCODERS)]
            return unet[name]

        trained = {name: value for name, value in self.trained.items() if name not in self._token_rows}
        found = weights.trained_weights(trained, untrained, self._inputs.settings.rank)
        for name, rows in self._token_rows.items():
            change = rows.weight.detach().cpu() - untrained(name)[rows.ids.cpu()]
            found |= weights.changed_rows(name, len(rows.rows), rows.ids.cpu(), change)
        return found

    @property
    def _token_rows(self) -> dict[str, text_encoder_copy.TokenRows]:
        return {} if self._encoder is None else self._encoder.token_rows
