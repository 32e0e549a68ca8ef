"""The source pass: M_src is read out while the sampler of the source prompt runs."""

from __future__ import annotations

import dataclasses

import torch
from comfy import model_management
from comfy.patcher_extension import WrappersMP

from ..styo_attention.store import SourceMaps
from .content_run import ContentRun, course_of
from .keeping import Keeper
from .reading import Reading
from .run_results import Estimate, RunResults
from .tagged_prompts import Prompt
from .weights_identity import identify_weights

KEY = "styo_capture"
"""Key of the wrapper on a MODEL, and of the `Capture` in a LATENT."""


@dataclasses.dataclass(frozen=True)
class CapturedPass:
    """A finished source pass: its maps, its prompts by their number, and `identify_weights` of its MODEL."""

    maps: SourceMaps
    prompts: list[Prompt]
    weights: str


class Capture:
    """Captures every sampler run of the MODEL it is attached to.

    A sampler hands on every entry of the LATENT that it gets, so its output carries this Capture, and through it finds
    the pass that returned its very samples. A pass is freed with the last of its samples.
    """

    def __init__(self):
        self._passes: RunResults[CapturedPass] = RunResults()

    def attach(self, model):
        """A clone of ``model`` whose sampler runs are captured here, and nowhere else."""
        model = model.clone()
        detach(model)
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self._sample)
        return model

    def pass_of(self, samples: torch.Tensor) -> CapturedPass | None:
        """The pass that returned ``samples`` [B, 4, H, W]."""
        return self._passes.get(samples)

    def _sample(self, executor, noise, latent_image, sampler, sigmas, denoise_mask, callback, *args, **kwargs):
        earlier = self._passes.get(latent_image)
        self._passes.forget_latest()
        run = _CaptureRun(executor.class_obj, SourceMaps(noise.shape, course_of(sampler, sigmas)))
        estimate = Estimate(executor.class_obj, callback)
        samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, estimate, *args, **kwargs)
        # Where and as what samplers hand their result on; done here, their own conversion keeps this very tensor.
        samples = samples.to(model_management.intermediate_device(), model_management.intermediate_dtype())
        self._passes.put(samples, estimate.latent, run.finish(earlier))
        return samples


def detach(model) -> None:
    """Take capturing off ``model``, which must be a clone."""
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)


def pass_of(latent: dict, node: str = "StyO Attention Inject") -> CapturedPass:
    """The source pass that a LATENT is the result of.

    Raises ValueError, naming the ``node`` that takes it and saying what to connect, where it is of none.
    """
    capture = latent.get(KEY)
    if found := capture and capture.pass_of(latent["samples"]):
        return found
    connect = "Connect the LATENT output of the sampler that runs on `model` and `latent` of StyO Attention Capture."
    if capture is None:
        raise ValueError(f"{node}: the LATENT at `source` carries no attention maps. {connect}")
    raise ValueError(
        f"{node}: the LATENT at `source` passed StyO Attention Capture, but is not the direct result of "
        f"a finished sampler run on its `model`. {connect}"
    )


def maps_of(latent: dict, node: str = "StyO Attention Inject") -> SourceMaps:
    """The maps of `pass_of`."""
    return pass_of(latent, node).maps


class _CaptureRun(ContentRun):
    """Reads M_src[:, I] in every UNet call of every evaluation."""

    node = "StyO Attention Capture"
    wanted = "source"
    did = "read"

    def __init__(self, guider, maps: SourceMaps):
        super().__init__(guider)
        self._maps, self._keeper, self._weights = maps, Keeper(), ""

    def begin_steps(self, guider, noise):
        self._weights = identify_weights(guider.model_patcher)

    def begin_evaluation(self, sigma, timestep, model_options):
        self._keeper.begin_evaluation()
        return Reading(self._maps.open(sigma), self._maps.sizes, self._keeper.keep)

    def finish(self, earlier: CapturedPass | None) -> CapturedPass:
        """The pass that just ended; with ``earlier`` before it, if it went on where that one ended."""
        self._keeper.finish()
        maps = self._maps
        maps.close(self.contents)
        example = next(iter(maps.tensors), torch.empty(0))
        self.report.close(
            f": {sum(len(content.positions) for content in maps.contents)} columns a layer, "
            f"{maps.nbytes / 1e6:.1f} MB ({example.device}, {example.dtype})"
        )
        if earlier and maps.goes_on_from(earlier.maps):
            maps = earlier.maps.followed_by(maps)
        return CapturedPass(maps, [prompt.remembered() for prompt in self.prompts], self._weights)
