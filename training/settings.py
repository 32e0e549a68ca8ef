"""The settings of a training run, checked."""

from __future__ import annotations

import dataclasses

from .optimizer import KINDS

METHODS = ("full", "cross_attention", "lora")
PRECISIONS = ("bf16", "fp16", "fp32")
OPTIMIZERS = tuple(KINDS)

MAX_STEPS = 1_000_000
MAX_LEARNING_RATE = 1e-2
RESOLUTION_STEP = 64
MAX_RESOLUTION = 2048
RESOLUTION_KEY = "styo_resolution"
"""Key of a MODEL's attachment: the pixels a side of the pictures it was made with, where its family's are others."""
MAX_RANK = 1024
MAX_SEED = 2**64 - 1

PAPER_STEPS = 400
PAPER_LEARNING_RATE = 1e-6
LEARNING_RATES = {"full": PAPER_LEARNING_RATE, "cross_attention": 1e-5, "lora": 1e-4}
"""Adam's step size where ``learning_rate`` is 0, by method.

full: the paper. cross_attention: what Custom Diffusion (arXiv 2212.04488) takes for faces when it trains all of cross
attention, 5e-6 an image on two images a step. lora: what LoRA for DreamBooth takes where all weights take 2e-6.
"""
IDENTIFIER_LEARNING_RATE = 5e-4
"""Adam's step size for the identifiers' token embeddings where ``learning_rate`` is 0; they are about 1e-2 large."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How the Identifier Disentanglement Learner trains; the defaults are the paper's. Raises ValueError."""

    method: str = "full"
    steps: int = PAPER_STEPS
    learning_rate: float = 0.0
    seed: int = 0
    train_text_encoder: bool = False
    rank: int = 16
    resolution: int = 0
    precision: str = "bf16"
    gradient_checkpointing: bool = True
    save_every: int = 100
    optimizer: str = "adam"
    preview_every: int = 0
    train_identifiers: bool = False

    def __post_init__(self):
        self._require_one_of("method", METHODS)
        self._require_one_of("precision", PRECISIONS)
        self._require_one_of("optimizer", OPTIMIZERS)
        self._require_whole("steps", 1, MAX_STEPS, "the paper: 400")
        self._require_whole("seed", 0, MAX_SEED)
        self._require_whole("rank", 1, MAX_RANK)
        self._require_whole("resolution", 0, MAX_RESOLUTION, "pixels; 0: the model's own")
        self._require_whole("save_every", 0, MAX_STEPS, "0 saves only at the end")
        self._require_whole("preview_every", 0, MAX_STEPS, "0 draws nothing")
        if self.resolution % RESOLUTION_STEP:
            raise ValueError(f"resolution is {self.resolution}: it must be a multiple of {RESOLUTION_STEP} pixels.")
        rate = self.learning_rate
        if not isinstance(rate, int | float) or not 0 <= rate <= MAX_LEARNING_RATE:
            raise ValueError(
                f"learning_rate is {rate}: it must be above 0 and at most {MAX_LEARNING_RATE} (the paper: 1e-6), or 0 "
                "for the method's own."
            )

    def _require_one_of(self, name: str, choices: tuple[str, ...]):
        if (value := getattr(self, name)) not in choices:
            raise ValueError(f"{name} is {value}: it must be one of {', '.join(choices)}.")

    def _require_whole(self, name: str, least: int, most: int, note: str = ""):
        value = getattr(self, name)
        if type(value) is not int or not least <= value <= most:
            note = note and f" ({note})"
            raise ValueError(f"{name} is {value}: it must be a whole number from {least} to {most}{note}.")

    @property
    def step_size(self) -> float:
        """The learning rate that is trained with: ``learning_rate``, or the method's own where that is 0."""
        return self.learning_rate or LEARNING_RATES[self.method]

    @property
    def identifiers_alone(self) -> bool:
        """Whether the identifiers' token embeddings are all that is trained of the text encoder."""
        return self.train_identifiers and not self.train_text_encoder

    @property
    def identifier_step_size(self) -> float:
        """The learning rate of the identifiers' token embeddings where they are trained alone."""
        return self.learning_rate or IDENTIFIER_LEARNING_RATE

    def deciding(self) -> dict[str, str | int | float | bool]:
        """The settings that decide what a step does; those that older files lack only where they matter."""
        names = ["method", "seed", "train_text_encoder", "resolution", "precision"]
        if self.method == "lora":
            names.append("rank")
        if self.optimizer != "adam":
            names.append("optimizer")
        if self.identifiers_alone:
            names += ["train_identifiers", "identifier_step_size"]
        return {"learning_rate": self.step_size, **{name: getattr(self, name) for name in names}}
