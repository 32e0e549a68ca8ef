"""How StyO is run on the demo model's portraits: prompts, training and sampling, chosen on the tuning set alone."""

from __future__ import annotations

import dataclasses

from styo.training.prompts import Prompts
from styo.training.settings import Settings


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that may be chosen, one name each; the demo's template holds the same values."""

    source_style: str = "awk"
    target_style: str = "aug"
    source_content: str = "sks"
    target_content: str = "lun"
    style_repeats: int = 2
    content_repeats: int = 2
    negator: str = "not"
    subject: str = "portrait"
    method: str = "lora"
    optimizer: str = "adam"
    steps: int = 450
    learning_rate: float = 5e-4
    seed: int = 0
    train_text_encoder: bool = False
    train_identifiers: bool = True
    rank: int = 64
    resolution: int = 128
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    auxiliary_count: int = 50
    cfg: float = 2.0
    sampling_steps: int = 20
    sampler: str = "ddim"
    scheduler: str = "ddim_uniform"
    iterations: int = 10

    def _part(self, kind: type):
        names = {field.name for field in dataclasses.fields(kind)}
        return {name: value for name, value in dataclasses.asdict(self).items() if name in names}

    @property
    def prompts(self) -> Prompts:
        """What StyO Prompt Builder makes of it."""
        return Prompts(**self._part(Prompts))

    @property
    def settings(self) -> Settings:
        """The inputs of StyO IDL Train; nothing is saved on the way."""
        return Settings(**self._part(Settings), save_every=0)


RECIPE = Recipe()
RATES = {"full": 5e-4, "cross_attention": 5e-4, "adafactor": 5e-4}
"""The learning rates of the other methods and optimizers; `portrait_rates.py` compares rates on the tuning set."""
