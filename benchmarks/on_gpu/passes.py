"""Whether the passes are right on this device: against dense float64 maps, in every dtype, kernel and memory mode."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
from collections.abc import Iterator
from unittest import mock

import comfy.memory_management
import comfy.model_management
import comfy.model_patcher
import torch
from comfy.ldm.modules import attention
from shared import launch

from .records import Check, NotHere, Place

sys.path.append(str(launch.ROOT / "tests"))
import passes
import tiny
from dense_reference import DenseUNet, NoisedPhoto, content_positions, maps_of_pass
from styo.bridge.prompt_encoding import encode_prompts
from styo.training.prompts import Prompts

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
WAYS = ("capture and inject", "source attention")
CALLS = {"one call": False, "a call each": True}
"""Whether the sampler evaluates cond and uncond apart."""
SHAPE = (1, 4, 8, 8)
ROUNDING = 4
"""How much further from the reference than a plain pass a pass may be."""
EXACT = 1e-4


def checks(place: Place) -> Iterator[Check]:
    """Every dtype, way and layout of calls; then every kernel; then every memory mode."""
    dtypes = ("bf16",) if place.toy else DTYPES
    # The kernel's check takes the other way, in the other layout.
    layouts = [(WAYS[1], "a call each")] if place.toy else itertools.product(WAYS, CALLS)
    for (way, calls), dtype in itertools.product(layouts, dtypes):
        yield f"{way}, {dtype}, {calls}", functools.partial(against_dense, place, dtype, way, calls)
    for name, kernel in _kernels(place).items():
        yield f"kernel {name}", functools.partial(_with_kernel, place, kernel)
    yield "weights outside of the GPU (--novram)", functools.partial(_without_vram, place)
    yield "dynamic VRAM", functools.partial(_dynamic, place)


def against_dense(place: Place, dtype: str, way: str, calls: str) -> dict:
    """The stylized latent's relative distance from the reference's, and a plain pass's from its, which is rounding."""
    with torch.inference_mode():
        return _against_dense(place, DTYPES[dtype], way, CALLS[calls])


def _against_dense(place: Place, dtype: torch.dtype, way: str, apart: bool) -> dict:
    def ready():
        model = tiny.make_model(dtype=dtype)
        if apart:
            model.model.memory_required = lambda *args, **kwargs: 1e30
        return model

    clip = tiny.make_clip()
    prompts = Prompts()
    source, _, _, stylized = encode_prompts(clip, prompts)
    negative = clip.encode_from_tokens_scheduled(clip.tokenize("blurry"))
    start, photo = passes.empty_latent(*SHAPE[::2]), passes.photo(*SHAPE[::2])
    words = " ".join(word.text for word in prompts.source_content_words)
    columns = {
        "columns": content_positions(clip, prompts.stylized, words),
        "source_columns": content_positions(clip, prompts.source, words),
    }
    reading, dense, bare = ready(), ready(), ready()
    reader = DenseUNet(reading, source[0][0])
    if way == WAYS[0]:
        passes.sample(reading, source, negative, photo)
        DenseUNet(dense, stylized[0][0], source=maps_of_pass(reader.maps), **columns)
        captured, started = passes.capture(ready(), photo)
        ours = passes.inject(ready(), passes.sample(captured, source, negative, started))
    else:
        noised = NoisedPhoto(reading, reader, source, negative, photo["samples"], 3)
        DenseUNet(dense, stylized[0][0], source=noised, **columns)
        ours = passes.source_attention(ready(), source, photo, seed=3)
    DenseUNet(bare, stylized[0][0])
    drawn = [
        passes.sample(model, stylized, negative, start, seed=11)["samples"] for model in (ours, dense, ready(), bare)
    ]
    error, effect = _distance(drawn[0], drawn[1]), _distance(drawn[1], drawn[2])
    rounding = _distance(drawn[2], drawn[3])
    right = error <= max(EXACT, ROUNDING * rounding) and effect > 2 * rounding
    return {"ok": right, "error": error, "a plain pass's": rounding, "effect": effect}


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm())


def _kernels(place: Place) -> dict[str, object]:
    """ComfyUI's attention kernels that are installed."""
    found = dict(attention.REGISTERED_ATTENTION_FUNCTIONS)
    return {name: found[name] for name in ("pytorch",)} if place.toy else found


def _with_kernel(place: Place, kernel) -> dict:
    with mock.patch.object(attention, "optimized_attention", kernel):
        return against_dense(place, "bf16", WAYS[0], "one call")


def _without_vram(place: Place) -> dict:
    if place.device == "cpu":
        raise NotHere("a CPU has no memory of its own")
    with mock.patch.object(comfy.model_management, "vram_state", comfy.model_management.VRAMState.NO_VRAM):
        return against_dense(place, "fp16", WAYS[0], "one call")


def _dynamic(place: Place) -> dict:
    if place.device == "cpu":
        raise NotHere("a CPU has no memory of its own")
    with _dynamic_vram():
        return against_dense(place, "fp16", WAYS[0], "one call")


@contextlib.contextmanager
def _dynamic_vram() -> Iterator[None]:
    """ComfyUI as its main.py sets it up on NVIDIA: weights come to the GPU as they are needed."""
    import comfy_aimdo.control

    devices = [(device.index or 0, 0) for device in comfy.model_management.get_all_torch_devices()]
    if comfy_aimdo.control.lib is None or not comfy_aimdo.control.init_devices(devices):
        raise NotHere("comfy-aimdo does not work here")
    with (
        mock.patch.object(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic),
        mock.patch.object(comfy.memory_management, "aimdo_enabled", True),
    ):
        yield
