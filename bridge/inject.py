"""The stylization pass: the content columns of M_sty are replaced by those of a captured source pass."""

from __future__ import annotations

import dataclasses
import functools
import uuid

import torch
from comfy.patcher_extension import WrappersMP

from ..styo_attention.content_tokens import ContentTokens
from ..styo_attention.store import Course, Evaluation
from . import capture
from .capture import CapturedPass
from .content_run import ContentRun, course_of
from .replacing import Moved, Replacing
from .run_results import RunResults
from .tagged_prompts import Prompt, pair
from .weights_identity import identify_weights

NODE = "StyO Attention Inject"

SAME_SIGMA = 1e-4
"""Relative difference up to which two noise levels are the same."""


@dataclasses.dataclass(frozen=True)
class Amount:
    """How much is replaced, and when.

    ``strength`` s mixes (1 - s) own + s source; ``start_percent`` and ``end_percent`` bound the part of sampling, 0..1.
    """

    strength: float = 1.0
    start_percent: float = 0.0
    end_percent: float = 1.0

    @property
    def is_nothing(self) -> bool:
        """Whether no evaluation is changed."""
        return self.strength <= 0 or self.start_percent >= self.end_percent

    def window(self, guider) -> tuple[float, float]:
        """The lowest and the highest noise level of the part of sampling that is meant."""
        to_sigma = guider.model_patcher.get_model_object("model_sampling").percent_to_sigma
        return float(to_sigma(self.end_percent)), float(to_sigma(self.start_percent))


class Inject:
    """Replaces content columns by those of the pass ``source`` in every sampler run of the MODEL it is attached to."""

    def __init__(self, source: CapturedPass, amount: Amount):
        self.source, self.amount = source, amount
        self._ends: RunResults[_End] = RunResults()

    def attach(self, model):
        """A clone of ``model`` with replacement on, and without capturing."""
        model = model.clone()
        capture.detach(model)
        if not self.amount.is_nothing:
            model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, f"styo_inject_{uuid.uuid4()}", self._sample)
        return model

    def _sample(self, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        require_same_size(NODE, "the source pass had", self.source.maps.shape, noise.shape)
        course = course_of(sampler, sigmas)
        earlier = self._ends.get(latent_image)
        self._ends.forget_latest()
        goes_on = earlier is not None and earlier.sigma == course.sigmas[0]
        run = _InjectRun(executor.class_obj, self, course, earlier.visits if goes_on else {})
        samples = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
        run.finish()
        self._ends.put(samples, None, _End(course.sigmas[-1], run.visits))
        return samples


@dataclasses.dataclass(frozen=True)
class _End:
    """Where a run ended, and how often it and those before it had been at each noise level, for a run that goes on."""

    sigma: float
    visits: dict[tuple[float, int], int]


class _InjectRun(ContentRun):
    node = NODE
    wanted = "stylized"
    did = "replaced"

    def __init__(self, guider, inject: Inject, course: Course, visits: dict[tuple[float, int], int]):
        super().__init__(guider)
        self._source, self._amount = inject.source, inject.amount
        self._lowest, self._highest = inject.amount.window(guider)
        self._other_course = not self._source.maps.course.contains(course)
        self._moved = Moved()
        self._nearby = 0
        self.visits = dict(visits)
        self._pair = functools.cache(lambda prompt: pair(prompt, self.prompts, self._source.prompts, NODE))

    def begin_steps(self, guider, noise):
        if identify_weights(guider.model_patcher) != self._source.weights:
            self.report.warn_once(
                "the source pass ran on other weights than this pass: another checkpoint, training or LoRA. Give both "
                "passes the same MODEL.",
                "weights",
            )

    def begin_evaluation(self, sigma, timestep, model_options):
        if not self._lowest <= sigma <= self._highest:
            return None
        find = functools.partial(self._find, sigma)
        return Replacing(NODE, find, self._amount.strength, self.report, self._moved)

    def finish(self) -> None:
        nearby = f"; {self._nearby} took the maps of the nearest noise level" if self._nearby else ""
        self.report.close(f"{nearby}{self._moved}")

    def _find(self, sigma: float, prompt: Prompt) -> tuple[int, ContentTokens, Evaluation]:
        """The number, content and maps of the source prompt for ``prompt``, at the noise level that suits ``sigma``."""
        source = self._pair(prompt)
        evaluations = self._source.maps.nearest(sigma, source.number)
        if not evaluations:
            raise ValueError(
                f"{NODE}: the source pass has never run the prompt ({source.content}) whose maps this pass needs. Give "
                "both passes the same timestep ranges, and the source pass at least one step."
            )
        captured = evaluations[0].sigma
        visit = self.visits[captured, prompt.number] = self.visits.get((captured, prompt.number), -1) + 1
        if abs(captured - sigma) > SAME_SIGMA * sigma:
            self._nearby += 1
            if self._other_course:
                self.report.warn_once(
                    f"the source pass has no maps at sigma {sigma:.4f}; those at the nearest, {captured:.4f}, are "
                    "used. Give both samplers the same sampler, scheduler and steps.",
                    "sigma",
                )
        return source.number, source.content, evaluations[min(visit, len(evaluations) - 1)]


def require_same_size(node: str, theirs: str, source: torch.Size, own: torch.Size) -> None:
    """Raise ValueError unless latents of shape ``source`` [B, C, H, W] suit a pass over latents of shape ``own``."""
    if own[2:] != source[2:] or source[0] not in (1, own[0]):
        raise ValueError(
            f"{node}: the latent sizes differ: {theirs} {_spell_size(source)}, this pass has {_spell_size(own)}. Give "
            "both the same width and height, and as many pictures or one to the source."
        )


def _spell_size(latent: torch.Size) -> str:
    batch, *_, height, width = latent
    return f"{batch} of {width * 8} x {height * 8} pixels"
