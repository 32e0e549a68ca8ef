"""The rows of the choices: the pack's own way is always the one measured against."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from importlib import metadata

import torch
from attention_cost.rows import DTYPES
from comfy.ldm.modules.attention import optimized_attention
from shared import bench
from shared.tables import verdict
from training_cost.rows import Bench

from . import columns
from .training import WAYS, Changed

UPDATE_GOAL = 1e-3
"""The part of the weights' change that a training may lose to rounding."""
READING, REPLACING = "softmax of the transposed map (kept)", "one call (kept)"
SIZES = ((1024, 40), (1024, 80), (4096, 40), (1024, 160))
"""Query positions and channels of a head."""
STATE_STEPS, STATE_RATE = 400, 1e-6

Choice = tuple[str, Callable[[], dict]]
"""Another way to do something, and the work that measures its row."""


def measure_choices(options, device: str):
    """The tables of the questions asked for."""
    choices = bench.Bench(options, device)
    asked = {
        "columns": lambda: {"Reading 7 columns, 20 times": [row() for _, row in reading(choices)]},
        "batch": lambda: {"Replacing 7 columns in a batch of 2, 20 times": [row() for _, row in replacing(choices)]},
        "training": lambda: _training(Bench(options, device)),
        "states": lambda: _states(device),
    }
    tables = {}
    for name in [options.only] if options.only else asked:
        tables |= asked[name]()
    place = {"comfyui_attention": optimized_attention.__name__}
    choices.publish("choices.py", f"choices-{device}", "fp16" if device == "cuda" else "fp32", tables, place)


def reading(choices: bench.Bench) -> Iterator[Choice]:
    """Ways to read columns, each against READING."""
    for size, (q, k, _) in _sizes(choices, 1):
        kept, others = columns.reading(q, k)
        for name, way in others.items():
            yield _compared(choices, f"{name}, {size}", READING, way, kept)


def replacing(choices: bench.Bench) -> Iterator[Choice]:
    """Ways to replace columns in a guidance batch, each against REPLACING."""
    for size, (q, k, v) in _sizes(choices, 2):
        kept, others = columns.replacing(q, k, v)
        for name, way in others.items():
            yield _compared(choices, f"{name}, {size}", REPLACING, way, kept, same=name != columns.PLAIN)


def _sizes(choices: bench.Bench, batch: int) -> Iterator[tuple[str, list[torch.Tensor]]]:
    dtype = DTYPES["fp16" if choices.device == "cuda" else "fp32"]
    for positions, width in [(64, 40)] if choices.options.quick else SIZES:
        qkv = columns.random_qkv(batch, positions, width, choices.device, dtype)
        yield f"N={positions}, d={width}", qkv


def _compared(choices: bench.Bench, what: str, kept: str, *works: columns.Way, same: bool = True) -> Choice:
    """``same`` works must come to the same."""
    times = range(1 if choices.options.quick else 20)
    repeated = [lambda work=work: [work() for _ in times] for work in works]

    def measure() -> dict:
        if same:
            torch.testing.assert_close(*(work() for work in works), rtol=1e-2, atol=1e-3)
        return choices.compare(what, kept, *repeated)

    return what, measure


def _training(training: Bench) -> dict:
    make = functools.partial(training.ours, training.settings("full", "bf16" if training.device == "cuda" else "fp32"))
    kept_peak = training.peak_bytes(make)
    rows = []
    for name in (name for name, way in WAYS.items() if way.anywhere):
        change = functools.partial(Changed, name, make)
        peaks = {"peer_peak_bytes": kept_peak, "ours_peak_bytes": training.peak_bytes(change)}
        rows.append(training.against(name, "kept", change, make, **peaks))
    return {f"A training step ({training.unet.name}, {training.resolution} px)": rows}


def _states(device: str) -> dict:
    """Adam with 8-bit states, where bitsandbytes is installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        return {}
    distance = distance_of_eight_bits(device)
    table = [["optimizer states", "steps", "distance from float32 Adam, of the weights' change", "goal"]]
    goal = f"<= {UPDATE_GOAL}: {verdict(distance, UPDATE_GOAL)}"
    name = f"8 bits, bitsandbytes {metadata.version('bitsandbytes')}"
    return {"8-bit states": [*table, [name, str(STATE_STEPS), f"{distance:.1e}", goal]]}


def distance_of_eight_bits(device: str) -> float:
    """How far 8-bit states lead away from float32 Adam on the same gradients, as a part of the weights' change."""
    import bitsandbytes

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.SiLU(), torch.nn.Linear(256, 64)).to(device)

    start, exact, rounded = network(), network(), network()
    adam = torch.optim.Adam(exact.parameters(), lr=STATE_RATE)
    adam8 = bitsandbytes.optim.Adam8bit(rounded.parameters(), lr=STATE_RATE, min_8bit_size=1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(STATE_STEPS):
        x = torch.randn((8, 64), generator=generator).to(device)
        (exact(x) - x.roll(1, 1)).square().mean().backward()
        for parameter, twin in zip(exact.parameters(), rounded.parameters(), strict=True):
            twin.grad = parameter.grad.clone()
        adam.step()
        adam8.step()
        adam.zero_grad()
    before, there, here = (torch.nn.utils.parameters_to_vector(net.parameters()) for net in (start, exact, rounded))
    return float((torch.linalg.vector_norm(here - there) / torch.linalg.vector_norm(there - before)).detach())
