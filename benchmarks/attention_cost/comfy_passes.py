"""The passes in ComfyUI: plain, with the pack, and with a dense hook."""

from __future__ import annotations

import dataclasses

import torch
from shared.models import Conditionings
from shared.passes import Passes
from styo.bridge.capture import maps_of

from .dense_hook import hooked

SEED = 5


@dataclasses.dataclass(frozen=True)
class Sampling:
    """What is sampled: latents [batch, 4, height, width], DDIM steps, guidance."""

    batch: int
    height: int
    width: int
    steps: int
    cfg: float = 7.5

    @property
    def text(self) -> str:
        return f"{self.width * 8}x{self.height * 8}, batch {self.batch}, {self.steps} steps"

    def noise(self) -> torch.Tensor:
        """The noise that ComfyUI starts from."""
        generator = torch.manual_seed(SEED)
        return torch.randn((self.batch, 4, self.height, self.width), generator=generator)


class ComfyPasses:
    """Every method samples one image, or batch, and returns what it is asked for in ComfyUI's own types."""

    def __init__(self, model, conditionings: Conditionings, sampling: Sampling):
        self.model, self.conditionings = model, conditionings
        prompts = (conditionings.source, conditionings.stylized, conditionings.negative)
        empty = {"samples": torch.zeros(sampling.batch, 4, sampling.height, sampling.width)}
        self._passes = Passes(model, *prompts, empty, (sampling.steps, sampling.cfg, "ddim", "ddim_uniform"))

    def plain(self) -> dict:
        """The stylized prompt without any hook."""
        return self._passes.stylization(SEED)

    def plain_source(self) -> dict:
        """The source prompt without any hook."""
        return self._sample(self.model, self.conditionings.source)

    def capture(self) -> dict:
        """The source pass of the pack."""
        return self._passes.captured(self.conditionings.source, self._passes.empty, SEED)

    def inject(self, source: dict) -> dict:
        """The stylization pass of the pack."""
        return self._passes.stylization(SEED, source)

    def both(self) -> dict:
        """Both passes of the pack."""
        return self.inject(self.capture())

    def source_attention(self) -> dict:
        """The stylization pass of the pack that reads the photo as it goes, and needs no source pass."""
        return self._passes.source_attention({"samples": torch.ones_like(self._passes.empty["samples"])}, SEED)

    def dense_both(self) -> torch.Tensor:
        """Both passes by a hook that forms every map and keeps it; the latent, scaled as the UNet sees it."""
        maps: dict[tuple, torch.Tensor] = {}
        columns = list(self.conditionings.columns)

        def keep(place: tuple, conditional: torch.Tensor):
            maps[place] = conditional.clone()

        def replace(place: tuple, conditional: torch.Tensor):
            conditional[..., columns] = maps[place][..., columns]

        self._sample(hooked(self.model, keep), self.conditionings.source)
        latent = self._sample(hooked(self.model, replace), self.conditionings.stylized)
        return self.model.model.process_latent_in(latent["samples"])

    def _sample(self, model, positive: list) -> dict:
        return self._passes.sample(model, positive, self._passes.empty, SEED)

    def stored_bytes(self) -> int:
        """What the pack stores of a source pass."""
        return maps_of(self.capture()).nbytes
