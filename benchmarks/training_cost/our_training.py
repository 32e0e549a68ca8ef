"""The pack's training, one step at a time and end to end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from shared import models
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


def random_inputs(unet: models.Unet, resolution: int) -> tuple[list[torch.Tensor], list[TextEmbedding]]:
    """Latents [1, 4, h, w] and text embeddings (a row a token, and one of the whole) of the three terms."""
    generator = torch.Generator().manual_seed(2)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    latents = [random(1, 4, resolution // 8, resolution // 8) for _ in TERMS]
    whole = unet.pooled or unet.context
    return latents, [TextEmbedding(random(1, models.TOKENS, unet.context), random(1, whole)) for _ in TERMS]


class OurTraining(Training):
    """The training of StyO IDL Train of a MODEL with this ``unet``; encodes nothing and saves nothing."""

    def __init__(self, unet: models.Unet, model, settings: Settings, device: str):
        drawn = zip(TERMS.values(), *random_inputs(unet, settings.resolution), strict=True)
        terms = [EncodedTerm(name, latents, EncodedPrompt({}, embedding)) for name, latents, embedding in drawn]
        inputs = Inputs(model, None, None, Prompts(), dict.fromkeys(TERMS, ()), settings)
        learner = Learner(inputs, terms, training_sigmas(model), torch.device(device))
        how = {"scale_loss": settings.precision == "fp16", "kind": settings.optimizer}
        optimizer = BackwardOptimizer(learner.groups, settings.step_size, **how)
        super().__init__(learner, optimizer, LossHistory(MOST_STEPS, TERMS.values(), torch.device(device)))

    def steps(self, count: int):
        """Take ``count`` steps."""
        for _ in self.until(self.history.step + count):
            pass

    @property
    def losses(self) -> Sequence[float]:
        return self.history.known().tolist()


def picture_inputs(unet: models.Unet, model, settings: Settings) -> Inputs:
    """Everything StyO IDL Train is given: random pictures, and CLIP and VAE to encode them with."""
    generator = torch.Generator().manual_seed(3)
    side = settings.resolution
    images = {term: [torch.rand((1, side, side, 3), generator=generator)] for term in TERMS}
    return Inputs(model, models.make_clip(unet), models.make_vae(unet), Prompts(), images, settings)


def end_to_end(inputs: Inputs):
    """All that StyO IDL Train does: encode, train, save."""
    with temporary_output(), torch.inference_mode():
        learn(inputs, "loras/StyO/idl", None)
