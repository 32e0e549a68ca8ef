"""Training a module for a number of steps: AdamW, a cosine schedule, averaged weights, and going on after a stop."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tqdm.auto import trange

WARM_UP = 200
AVERAGE = 0.999
SECONDS_BETWEEN_SAVES = 300
SEED = 20230303


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Draw a module's first values from the seed, without a trace in torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


def fit(
    module: torch.nn.Module,
    loss_of: Callable[[torch.Generator], torch.Tensor],
    steps: int,
    learning_rate: float,
    state: Path,
    report: Callable[[torch.nn.Module, int], None] = lambda average, step: None,
) -> torch.nn.Module:
    """Minimise ``loss_of(generator)`` over the parameters of ``module``; returns their exponential average.

    Everything random in a step comes from the generator, which is seeded by the step, so a run stopped between two
    saves at ``state`` takes the same steps again. ``report(average, step)`` runs at every save.
    """
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    first = 0
    if state.is_file():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["module"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]

    def save(step: int):
        parts = {"module": module.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        partial = state.with_suffix(".partial")
        torch.save({**parts, "step": step}, partial)
        os.replace(partial, state)
        report(average, step)

    generator = torch.Generator()
    saved_at, running = time.monotonic(), None
    progress = trange(first, steps, initial=first, total=steps, mininterval=10, desc=state.stem)
    for step in progress:
        generator.manual_seed(SEED * 1_000_003 + step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _schedule(step, steps)
        loss = loss_of(generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        decay = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
            for kept, newest in zip(average.buffers(), module.buffers(), strict=True):
                kept.copy_(newest)
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        progress.set_postfix(loss=f"{running:.4f}", refresh=False)
        if time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES:
            save(step + 1)
            saved_at = time.monotonic()
    if first < steps:
        save(steps)
    return average


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.01 + 0.99 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP))) / 2
