"""Adafactor (arXiv 1804.04235): steps about as long as Adam's, with a row and a column remembered of each matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

DECAY = 0.8
"""The t-th squared gradient has a weight of t^-DECAY in what is remembered."""
TINY = torch.finfo(torch.float32).tiny
"""Keeps zeros from being divided by."""


class Adafactor(torch.optim.Optimizer):
    """The steps of torch.optim.Adafactor, with ``learning_rate`` for the largest RMS of a step of any parameter.

    Torch's reads two numbers of every parameter back, and a GPU stands still until the host has them; here all stays on
    the device. Parameters are float32 vectors and matrices, stepped all at once. Gradients become the steps.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], learning_rate: float):
        super().__init__(parameters, {"lr": learning_rate})

    @torch.no_grad()
    def step(self):
        """Step all parameters; each must have a gradient."""
        for group in self.param_groups:
            if matrices := [parameter for parameter in group["params"] if parameter.ndim == 2]:
                self._step_matrices(matrices, group["lr"])
            if vectors := [parameter for parameter in group["params"] if parameter.ndim == 1]:
                self._step_vectors(vectors, group["lr"])

    def _step_vectors(self, parameters: list[torch.nn.Parameter], rate: float):
        steps = [parameter.grad for parameter in parameters]
        [variances] = self._remember(parameters, {"variance": torch._foreach_mul(steps, steps)})
        torch._foreach_mul_(steps, _inverse_roots(variances))
        torch._foreach_div_(steps, _excess(torch._foreach_norm(steps), parameters))
        torch._foreach_add_(parameters, steps, alpha=-rate)

    def _step_matrices(self, parameters: list[torch.nn.Parameter], rate: float):
        """A matrix of squared gradients is told by its row means R and column means C: R C / mean(R)."""
        steps = [parameter.grad for parameter in parameters]
        rows, columns = self._remember(
            parameters, {"row_var": _mean_squares(steps, dim=1), "col_var": _mean_squares(steps, dim=0)}
        )
        torch._foreach_mul_(steps, _inverse_roots(columns))
        means = torch._foreach_div(torch._foreach_norm(rows, 1), [len(row) for row in rows])
        torch._foreach_clamp_min_(means, TINY)
        of_rows = _inverse_roots(torch._foreach_div(rows, means))
        norms = [torch.linalg.vector_norm(step, dim=1, keepdim=True) for step in steps]
        lengths = torch._foreach_norm(torch._foreach_mul(norms, of_rows))
        torch._foreach_div_(of_rows, _excess(lengths, parameters))
        torch._foreach_addcmul_(parameters, steps, of_rows, value=-rate)

    def _remember(
        self, parameters: list[torch.nn.Parameter], squares: dict[str, list[torch.Tensor]]
    ) -> list[list[torch.Tensor]]:
        """Mix the ``squares`` of this step into those remembered by their names; returns the latter."""
        states = [self.state[parameter] for parameter in parameters]
        for i, state in enumerate(states):
            if not state:
                state["step"] = torch.tensor(0.0)
                state.update({name: torch.zeros_like(values[i]) for name, values in squares.items()})
        torch._foreach_add_([state["step"] for state in states], 1.0)
        weight = states[0]["step"].item() ** -DECAY
        remembered = [[state[name] for state in states] for name in squares]
        for old, new in zip(remembered, squares.values(), strict=True):
            torch._foreach_lerp_(old, new, weight)
        return remembered


def _mean_squares(matrices: list[torch.Tensor], dim: int) -> list[torch.Tensor]:
    roots = [torch.linalg.vector_norm(matrix, dim=dim, keepdim=True) for matrix in matrices]
    squares = torch._foreach_mul(roots, roots)
    torch._foreach_div_(squares, [matrix.shape[dim] for matrix in matrices])
    return squares


def _inverse_roots(values: list[torch.Tensor]) -> list[torch.Tensor]:
    roots = torch._foreach_clamp_min(values, TINY)
    torch._foreach_rsqrt_(roots)
    return roots


def _excess(norms: list[torch.Tensor], parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """By how much the RMS of steps of these ``norms`` is above 1, as a factor."""
    excess = torch._foreach_div(norms, [math.sqrt(parameter.numel()) for parameter in parameters])
    torch._foreach_clamp_min_(excess, 1.0)
    return excess
