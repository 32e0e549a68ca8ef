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
            alike = _by_shape(group["params"])
            for i, matrices in enumerate(alike):
                momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in matrices]
                gradients = [p.grad for p in matrices]
                torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
                ours = i % parallel.processes() == parallel.rank()
                ahead = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM))
                updates.append(orthogonal(ahead) if ours else torch.zeros_like(ahead))
            parallel.add_up(updates)
            for matrices, update in zip(alike, updates, strict=True):
                torch._foreach_mul_(matrices, 1 - group["lr"] * WEIGHT_DECAY)
                alpha = -0.2 * max(update.shape[1:]) ** 0.5 * group["lr"]
                torch._foreach_add_(matrices, list(update.unbind()), alpha=alpha)


def _by_shape(matrices: list[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Those of a shape together: an accelerator takes as long for all of them as for one."""
    found = {}
    for matrix in matrices:
        found.setdefault(matrix.shape, []).append(matrix)
    return list(found.values())


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    """Matrices with the singular vectors of those in ``x`` [N, rows, columns] and singular values near 1.

    That takes five Newton-Schulz steps.
    """
    if x.shape[1] > x.shape[2]:
        return orthogonal(x.mT).mT
    a, b, c = NEWTON_SCHULZ
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        squared = x @ x.mT
        x = a * x + torch.baddbmm(squared, squared, squared, beta=b, alpha=c) @ x
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
