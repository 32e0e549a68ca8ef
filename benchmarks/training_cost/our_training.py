"""The pack's training, one step at a time and end to end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from shared import sd15
from shared.output_folder import temporary_output
from styo.bridge.idl import learn
from styo.bridge.learner import Encoded, Inputs, Learner
from styo.bridge.unet_copy import training_sigmas
from styo.training.loop import LossHistory, train
from styo.training.prompts import Prompts
from styo.training.settings import Settings

TERMS = ("source_image", "target_image", "auxiliary_images")
MOST_STEPS = 100_000


def random_inputs(resolution: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Latents [1, 4, h, w] and text embeddings [1, 77, 768] of the three terms, drawn at random."""
    generator = torch.Generator().manual_seed(2)
    side = resolution // 8
    latents = [torch.randn((1, 4, side, side), generator=generator) for _ in TERMS]
    return latents, [torch.randn((1, sd15.TOKENS, sd15.CONTEXT), generator=generator) for _ in TERMS]


class OurTraining:
    """The learner of StyO IDL Train with its optimizer, in the loop of the node; saves nothing."""

    def __init__(self, model, settings: Settings, device: str):
        latents, contexts = random_inputs(settings.resolution)
        inputs = Inputs(model, None, None, Prompts(), dict.fromkeys(TERMS, ()), settings)
        self.learner = Learner(inputs, Encoded(latents, [], contexts, training_sigmas(model)))
        self.optimizer = self.learner.to(torch.device(device))
        self.history = LossHistory(MOST_STEPS, torch.device(device))

    def steps(self, count: int):
        """Take ``count`` steps."""
        until = self.history.step + count
        train(self.learner.loss_of_a_draw, self.optimizer, self.history, until, 0, _nothing, _nothing)

    @property
    def losses(self) -> Sequence[float]:
        return self.history.known()


def _nothing(_):
    pass


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
