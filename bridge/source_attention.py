"""Capture and Inject in one sampler: at every evaluation the photo is read at that very noise level.

The arguments of section 3.3 are z_src and gamma_src at the step's own t: M_src is what the UNet, under the source
prompt, makes of the photo noised to t, as training has shown it. No chain of its own leads there, so nothing is stored.
"""

from __future__ import annotations

import functools
import uuid

import comfy.sampler_helpers
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ..styo_attention.content_tokens import ContentTokens
from ..styo_attention.store import Evaluation
from . import capture
from .content_run import KEY, ContentRun
from .inject import Amount, require_same_size
from .prompt_encoding import content_of
from .reading import Reading
from .replacing import Moved, Replacing
from .tagged_prompts import Prompt, pair

NODE = "StyO Source Attention"


class SourceAttention:
    """Replaces content columns by those of ``photo`` [B or 1, C, H, W], a LATENT's samples, under ``source``.

    The photo's noise comes from ``seed`` and stays the same in all evaluations. Raises ValueError where ``source`` is
    not tagged or ``photo`` is empty.
    """

    def __init__(self, source: list, photo: torch.Tensor, seed: int, amount: Amount):
        if not any(content_of(options) for _, options in source):
            raise ValueError(
                f"{NODE}: the conditioning at `source` does not say which of its tokens are content. Connect `source` "
                "of StyO Encode Prompts."
            )
        if any("hooks" in options for _, options in source):
            raise ValueError(f"{NODE}: the conditioning at `source` has hooks, which do nothing here: take them off.")
        if not photo.count_nonzero():
            raise ValueError(f"{NODE}: the LATENT at `latent` is empty. Connect the photo, encoded by VAE Encode.")
        self.source, self.photo, self.amount = source, photo, amount
        self.noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(seed))

    def attach(self, model):
        """A clone of ``model`` with replacement on, and without capturing."""
        model = model.clone()
        capture.detach(model)
        if not self.amount.is_nothing:
            model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, f"styo_source_{uuid.uuid4()}", self._sample)
        return model

    def _sample(self, executor, noise, *args, **kwargs):
        require_same_size(NODE, "`latent` has", self.photo.shape, noise.shape)
        if self.photo.shape[1] != noise.shape[1]:
            raise ValueError(
                f"{NODE}: the LATENT at `latent` has {self.photo.shape[1]} channels, this model's have "
                f"{noise.shape[1]}. Encode the photo with the VAE of this checkpoint."
            )
        run = _SourceAttentionRun(executor.class_obj, self)
        try:
            samples = executor(noise, *args, **kwargs)
        finally:
            comfy.sampler_helpers.cleanup_models({"source": run.conditionings}, [])
        run.finish()
        return samples


class _SourceAttentionRun(ContentRun):
    node = NODE
    wanted = "stylized"
    did = "replaced"

    def __init__(self, guider, settings: SourceAttention):
        super().__init__(guider)
        self._settings = settings
        self._lowest, self._highest = settings.amount.window(guider)
        self._moved = Moved()
        self.conditionings = comfy.sampler_helpers.convert_cond(settings.source)
        self._sources: dict[Prompt, Prompt] = {}
        add_wrapper_with_key(
            WrappersMP.PREPARE_SAMPLING, KEY, self._prepare_sampling, guider.model_options, is_model_options=True
        )

    def _prepare_sampling(self, executor, model, noise_shape, conds, *args, **kwargs):
        """Have what the source's conditioning needs, such as a ControlNet, loaded with the rest."""
        loaded, _, models = executor(model, noise_shape, {**conds, KEY: self.conditionings}, *args, **kwargs)
        return loaded, conds, models

    def begin_steps(self, guider, noise):
        """Scale the photo as the model wants it, and find for every stylized prompt what is to be read for it."""
        self._model = model = guider.inner_model
        device = noise.device
        self._photo = model.process_latent_in(self._settings.photo.to(device, torch.float32))
        self._noise = self._settings.noise.to(device)
        processed = comfy.samplers.process_conds(
            model, self._noise, {"positive": list(self.conditionings)}, device, latent_image=self._photo
        )["positive"]
        tagged = [c for c in processed if content_of(c)]
        sources = [Prompt(i, c, content_of(c)) for i, c in enumerate(tagged)]
        readers: dict[tuple, Prompt] = {}
        for prompt in self.prompts:
            source = pair(prompt, self.prompts, sources, NODE)
            reader = _for_area(source, prompt.area, len(readers))
            self._sources[prompt] = readers.setdefault((source, prompt.area), reader)
        self.add_prompts({reader.conditioning["uuid"]: reader for reader in readers.values()})

    def begin_evaluation(self, sigma, timestep, model_options):
        sources = {self._sources[prompt]: None for prompt in self.prompts if prompt.is_due(sigma)}
        if not sources or not self._lowest <= sigma <= self._highest:
            return None
        evaluation = self._read(list(sources), sigma, timestep[: len(self._photo)], model_options)
        find = functools.partial(self._find, evaluation)
        return Replacing(NODE, find, self._settings.amount.strength, self.report, self._moved)

    def finish(self) -> None:
        self.report.close(str(self._moved))

    def _read(self, sources: list[Prompt], sigma: float, timestep: torch.Tensor, model_options: dict) -> Evaluation:
        """M_src[:, I] of the photo noised to ``sigma``, by one evaluation without guidance.

        It passes through this MODEL's patches, tiles and context windows, but not through other nodes' wrappers: a
        cache would take it for the stylization's.
        """
        evaluation = Evaluation(sigma)
        noised = self._model.model_sampling.noise_scaling(timestep, self._noise, self._photo)
        options = self.wrappers_alone(model_options)
        _, reach = self.observe(
            Reading(evaluation, {}),
            sources,
            lambda: comfy.samplers.calc_cond_batch(
                self._model, [[source.conditioning for source in sources]], noised, timestep, options
            ),
        )
        self.report.require(reach)
        return evaluation

    def _find(self, evaluation: Evaluation, prompt: Prompt) -> tuple[int, ContentTokens, Evaluation]:
        source = self._sources[prompt]
        return source.number, source.content, evaluation


def _for_area(source: Prompt, area: tuple[int, ...] | None, number: int) -> Prompt:
    """The prompt that reads the photo where a stylized prompt acts; masks and times are that prompt's own affair."""
    conditioning = {name: value for name, value in source.conditioning.items() if name not in _PLACE_AND_TIME}
    conditioning |= {"uuid": uuid.uuid4()} if area is None else {"uuid": uuid.uuid4(), "area": area}
    return Prompt(number, conditioning, source.content)


_PLACE_AND_TIME = ("area", "mask", "mask_strength", "strength", "timestep_start", "timestep_end", "default")
