"""The pack's training, one step at a time and end to end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from shared import sd15
from shared.output_folder import temporary_output
from styo.bridge.conditioning import TextEmbedding
from styo.bridge.encoded import EncodedPrompt, EncodedTerm
from styo.bridge.idl import learn
from styo.bridge.learner import Learner
from styo.bridge.training_inputs import TERMS, Inputs
from styo.bridge.unet_copy import training_sigmas
from styo.training.history import LossHistory
from styo.training.loop import Training
from styo.training.optimizer import BackwardOptimizer
from styo.training.prompts import Prompts
from styo.training.settings import Settings

MOST_STEPS = 100_000


EMBEDDING = ((1, sd15.TOKENS, sd15.CONTEXT), (1, sd15.CONTEXT))
"""The shapes of what SD1.5's text encoder makes of a prompt: a row a token, and one of the whole."""


def random_inputs(resolution: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Latents [1, 4, h, w] and text embeddings [1, 77, 768] of the three terms, drawn at random."""
    latents, embeddings = _random(resolution, EMBEDDING)
    return latents, [embedding.tokens for embedding in embeddings]


def _random(resolution: int, embedding: tuple) -> tuple[list[torch.Tensor], list[TextEmbedding]]:
    generator = torch.Generator().manual_seed(2)
    side = resolution // 8
    latents = [torch.randn((1, 4, side, side), generator=generator) for _ in TERMS]
    return latents, [TextEmbedding(*(torch.randn(shape, generator=generator) for shape in embedding)) for _ in TERMS]


class OurTraining:
    """The learner of StyO IDL Train with its optimizer, in the loop of the node; saves nothing.

    ``embedding`` holds the shapes of a prompt's text embedding.
    """

    def __init__(self, model, settings: Settings, device: str, embedding: tuple = EMBEDDING):
        terms = [
            EncodedTerm(name, latents, EncodedPrompt({}, drawn))
            for name, latents, drawn in zip(TERMS.values(), *_random(settings.resolution, embedding), strict=True)
        ]
        inputs = Inputs(model, None, None, Prompts(), dict.fromkeys(TERMS, ()), settings)
        device = torch.device(device)
        self.learner = Learner(inputs, terms, training_sigmas(model), device)
        self.optimizer = BackwardOptimizer(
            self.learner.groups, settings.step_size, scale_loss=settings.precision == "fp16", kind=settings.optimizer
        )
        self.history = LossHistory(MOST_STEPS, TERMS.values(), device)
        self._training = Training(self.learner, self.optimizer, self.history)

    def steps(self, count: int):
        """Take ``count`` steps."""
        for _ in self._training.until(self.history.step + count):
            pass

    @property
    def losses(self) -> Sequence[float]:
        return self.history.known().tolist()


def picture_inputs(shape: sd15.Shape, model, settings: Settings) -> Inputs:
    """Everything StyO IDL Train is given: random pictures, and CLIP and VAE to encode them with."""
    generator = torch.Generator().manual_seed(3)
    side = settings.resolution
    images = {term: [torch.rand((1, side, side, 3), generator=generator)] for term in TERMS}
    return Inputs(model, sd15.make_clip(shape), sd15.make_vae(shape), Prompts(), images, settings)


def end_to_end(inputs: Inputs):
    """All that StyO IDL Train does: encode, train, save."""
    with temporary_output(), torch.inference_mode():
        learn(inputs, "loras/StyO/idl", None)
