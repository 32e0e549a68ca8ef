"""Training a module for a number of steps: a cosine schedule, averaged weights, going on after a stop."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tqdm.auto import trange

from . import parallel
from .optimizers import Optimizers

WARM_UP = 50
AVERAGE = 0.98
SECONDS_BETWEEN_SAVES = 240
STEPS_BETWEEN_READINGS = 20
"""Of the loss, for which an accelerator has to be waited for."""
SEED = 20230303


def precision(device: torch.device | str) -> torch.dtype:
    """What to compute in: bfloat16 where the processor has it, as every accelerator does and some CPUs do."""
    if on_accelerator(device) or torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.bfloat16
    return torch.float32


def on_accelerator(device: torch.device | str) -> bool:
    """Whether batches may be large."""
    return torch.device(device).type != "cpu"


def normal(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> torch.Tensor:
    """Standard normal noise on a device: an accelerator draws its own, from a seed that the ``generator`` draws."""
    if on_accelerator(device):
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device)


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Draw a module's first values from the seed, without a trace in torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def fit(
    module: torch.nn.Module,
    loss_of: Callable[[torch.Generator, int], torch.Tensor],
    steps: int,
    learning_rate: float,
    state: Path,
    report: Callable[[torch.nn.Module, int], None] = lambda average, step: None,
) -> torch.nn.Module:
    """Minimise ``loss_of(generator, step)`` over the parameters of ``module`` that require gradients.

    Returns the average of the last of them.

    Everything random in a step comes from the generator, which is seeded by the step (and differs between parallel
    processes, which share their gradients), so a run stopped between two saves at ``state`` takes the same steps again.
    ``report(average, step)`` runs at every save, in the first process.
    """
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimizers = Optimizers(module)
    trained = [p.requires_grad for p in module.parameters()]
    parameters = list(itertools.compress(module.parameters(), trained))
    rank, processes = parallel.rank(), parallel.processes()
    first = 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["module"])
        average.load_state_dict(saved["average"])
        optimizers.load_state_dict(saved["optimizers"])
        first = saved["step"]

    def save(step: int):
        parts = {"module": module.state_dict(), "average": average.state_dict(), "optimizers": optimizers.state_dict()}
        partial = state.with_suffix(".partial")
        torch.save({**parts, "step": step}, partial)
        os.replace(partial, state)
        report(average, step)

    generator = torch.Generator()
    saved_at, running = time.monotonic(), None
    progress = trange(first, steps, initial=first, total=steps, mininterval=10, desc=state.stem, disable=rank > 0)
    for step in progress:
        generator.manual_seed((SEED * 1_000_003 + step) * processes + rank)
        loss = loss_of(generator, step)
        module.zero_grad(set_to_none=True)
        (loss / processes).backward()
        parallel.add_up([p.grad for p in parameters])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizers.step(learning_rate * _schedule(step, steps))
        decay = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(itertools.compress(average.parameters(), trained)), parameters, 1 - decay)
            for kept, newest in zip(average.buffers(), module.buffers(), strict=True):
                kept.copy_(newest)
        running = loss.detach() if running is None else running.lerp(loss.detach(), 0.02)
        if step % STEPS_BETWEEN_READINGS == 0:
            progress.set_postfix(loss=f"{running.item():.4f}", refresh=False)
        if rank == 0 and time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES:
            save(step + 1)
            saved_at = time.monotonic()
    if first < steps and rank == 0:
        save(steps)
    parallel.wait()
    average.load_state_dict(torch.load(state, weights_only=True)["average"])
    return average


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP))) / 2
