"""The source pass: M_src is read out while the sampler of the source prompt runs."""

from __future__ import annotations

import logging

import torch
from comfy import model_management
from comfy.patcher_extension import WrappersMP

from ..styo_attention.columns import read_columns
from ..styo_attention.store import Evaluation, SourceMaps
from .content_run import ContentRun, own_attention

KEY = "styo_capture"
"""Key of the wrapper on a MODEL, and of the `Capture` in a LATENT."""

GPU_STORE_LIMIT = 256 * 2**20
"""Bytes of maps that may stay on the GPU, given room; a source pass with more keeps its maps in main memory."""


class Capture:
    """Captures every sampler run of the MODEL it is attached to.

    The maps of a finished run hang on the very tensor that the sampler returns, so a LATENT carries its own run's and
    frees them with itself. The latest run is also kept here, for samplers that hand on a copy of their result.
    """

    def __init__(self):
        self._latest: tuple[torch.Tensor, SourceMaps] | None = None

    def attach(self, model):
        """A clone of ``model`` whose sampler runs are captured here, and nowhere else."""
        model = model.clone()
        detach(model)
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self._sample)
        return model

    def _sample(self, executor, noise, latent_image, sampler, sigmas, *args, **kwargs):
        self._latest = None
        run = _CaptureRun(executor.class_obj, SourceMaps(noise, latent_image), steps=len(sigmas) - 1)
        samples = executor(noise, latent_image, sampler, sigmas, *args, **kwargs)
        # Where and as what samplers hand their result on; done here, their own conversion keeps this very tensor.
        samples = samples.to(model_management.intermediate_device(), model_management.intermediate_dtype())
        samples.styo_maps = run.finish()
        self._latest = (samples, samples.styo_maps)
        return samples

    def maps_of_copy(self, samples: torch.Tensor) -> SourceMaps | None:
        """The latest run's maps if ``samples`` is what that run returned, up to rounding."""
        if self._latest is None:
            return None
        result, maps = self._latest
        same = result.shape == samples.shape and torch.allclose(
            result.float(), samples.to(result.device, torch.float32), rtol=1e-3, atol=1e-3
        )
        return maps if same else None


def detach(model) -> None:
    """Take capturing off ``model``, which must be a clone."""
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)


def maps_of(latent: dict) -> SourceMaps:
    """The maps that a LATENT carries; ValueError, saying what to connect, where it carries none."""
    samples = latent["samples"]
    capture = latent.get(KEY)
    maps = getattr(samples, "styo_maps", None) or (capture and capture.maps_of_copy(samples))
    if maps:
        return maps
    connect = "Connect the LATENT output of the sampler that runs on `model` and `latent` of StyO Attention Capture."
    if capture is None:
        raise ValueError(f"StyO Attention Inject: the LATENT at `source` carries no attention maps. {connect}")
    raise ValueError(
        "StyO Attention Inject: the LATENT at `source` passed StyO Attention Capture, but is not the direct result of "
        f"a finished sampler run on its `model`. {connect}"
    )


class _CaptureRun(ContentRun):
    """Reads M_src[:, I] in the first UNet call of every evaluation; the attention itself is left as it is."""

    def __init__(self, guider, maps: SourceMaps, steps: int):
        super().__init__(guider, "StyO Attention Capture", "source")
        self._maps = maps
        self._steps = steps
        self._offload = False
        self._evaluation: Evaluation = {}

    def begin_evaluation(self, sigma: float) -> bool:
        if len(self._maps) == 1:
            self._offload = self._is_too_large_for_gpu()
        self._evaluation = self._maps.open(sigma)
        return True

    def attend(self, layer, previous, batch, q, k, v, options):
        for rows, prompt in batch:
            if (layer, prompt.number) not in self._evaluation:
                columns = read_columns(q[rows], k[rows, : prompt.length], prompt.content.positions, options["n_heads"])
                self._evaluation[layer, prompt.number] = columns.cpu() if self._offload else columns
        return (previous or own_attention)(q, k, v, options)

    def finish(self) -> SourceMaps:
        """The maps of the run that just ended."""
        maps = self._maps
        maps.close(self.contents)
        example = next(iter(maps.tensors), torch.empty(0))
        logging.info(
            "StyO: kept %d content columns of %d cross-attention maps at %d evaluations, %.1f MB (%s, %s)",
            sum(len(content.positions) for content in maps.contents),
            len(maps.tensors),
            len(maps),
            maps.nbytes / 1e6,
            example.device,
            example.dtype,
        )
        return maps

    def _is_too_large_for_gpu(self) -> bool:
        devices = {columns.device for columns in self._maps.tensors if columns.device.type != "cpu"}
        expected = self._maps.nbytes * self._steps
        return any(expected > min(GPU_STORE_LIMIT, model_management.get_free_memory(d) / 4) for d in devices)
