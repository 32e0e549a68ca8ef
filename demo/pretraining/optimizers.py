"""What steps the parameters of a training: Muon for matrices, AdamW for all else."""

from __future__ import annotations

import torch

from . import parallel

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
WEIGHT_DECAY = 0.01


class Muon(torch.optim.Optimizer):
    """Muon for matrices: steps along orthogonalised momentum, as large as AdamW's (arXiv 2502.16982, equation 4).

    torch.optim.Muon computes in bfloat16, which many CPUs only emulate; this computes in the parameters' own type, and
    parallel processes share the work.
    """

    def __init__(self, parameters: list[torch.nn.Parameter]):
        super().__init__(parameters, {"lr": 0.0})

    @torch.no_grad()
    def step(self):
        """One step along the gradients."""
        for group in self.param_groups:
            updates = []
            for i, p in enumerate(group["params"]):
                momentum = self.state[p].setdefault("momentum", torch.zeros_like(p))
                momentum.lerp_(p.grad, 1 - MOMENTUM)
                ours = i % parallel.processes() == parallel.rank()
                updates.append(orthogonal(p.grad.lerp(momentum, MOMENTUM)) if ours else torch.zeros_like(p))
            parallel.add_up(updates)
            for p, update in zip(group["params"], updates, strict=True):
                p.mul_(1 - group["lr"] * WEIGHT_DECAY)
                p.add_(update, alpha=-0.2 * max(p.shape) ** 0.5 * group["lr"])


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """A matrix with the singular vectors of ``x`` and singular values near 1: five Newton-Schulz steps."""
    if x.shape[0] > x.shape[1]:
        return orthogonal(x.T).T
    a, b, c = NEWTON_SCHULZ
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        squared = x @ x.T
        x = a * x + torch.addmm(squared, squared, squared, beta=b, alpha=c) @ x
    return x


class Optimizers:
    """Muon for the matrices of a module, convolutions among them, and AdamW for its tables and vectors."""

    def __init__(self, module: torch.nn.Module):
        tables = {id(m.weight) for m in module.modules() if isinstance(m, torch.nn.Embedding)}
        every = [p for p in module.parameters() if p.requires_grad]
        self._matrices = [p for p in every if p.ndim > 1 and id(p) not in tables]
        chosen = {id(p) for p in self._matrices}
        others = [p for p in every if id(p) not in chosen]
        self._views = [torch.nn.Parameter(_as_matrix(p.data, p)) for p in self._matrices]
        self._all = (Muon(self._views), torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY))

    def step(self, learning_rate: float):
        """One step along the gradients that the module's parameters hold."""
        for view, parameter in zip(self._views, self._matrices, strict=True):
            view.grad = _as_matrix(parameter.grad, parameter)
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()

    def state_dict(self) -> list[dict]:
        """What ``load_state_dict`` takes."""
        return [optimizer.state_dict() for optimizer in self._all]

    def load_state_dict(self, states: list[dict]):
        """Go on where ``state_dict`` was taken."""
        for optimizer, state in zip(self._all, states, strict=True):
            optimizer.load_state_dict(state)


def _as_matrix(x: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """A parameter's weights or gradient as [outputs, all else], in the order of the parameter's memory."""
    if parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last):
        x = x.movedim(1, -1)
    return x.reshape(len(x), -1)
