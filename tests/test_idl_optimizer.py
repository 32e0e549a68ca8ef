"""Whatever optimizer is chosen, its steps are those of torch's own, taken inside the backward pass."""

import pytest
import torch
from styo.training.optimizer import KINDS, BackwardOptimizer, state_bytes
from styo.training.settings import Settings
from torch.utils._python_dispatch import TorchDispatchMode

RATE = 1e-4


def network(seed):
    """Convolutions of 3 x 3 and 1 x 1, matrices, vectors and a table: every shape that is trained."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.GroupNorm(2, 8),
        torch.nn.SiLU(),
        torch.nn.Conv2d(8, 6, 1),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 16, 5),
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return net


def groups_of(net):
    """The parameters in two groups."""
    parameters = dict(net.named_parameters())
    names = list(parameters)
    return {"first": {n: parameters[n] for n in names[:3]}, "rest": {n: parameters[n] for n in names[3:]}}


def loss_of(net, generator):
    x = torch.randn(4, 3, 4, 4, generator=generator)
    return ((net(x) - torch.randn(4, 5, generator=generator)) ** 2).mean()


def as_matrices(net):
    """Parameters that share the net's memory, each a vector or a matrix."""
    return {p: torch.nn.Parameter(p.detach().flatten(1) if p.ndim > 1 else p.detach()) for p in net.parameters()}


REFERENCES = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=RATE, fused=True),
    "adafactor": lambda parameters: torch.optim.Adafactor(parameters, lr=RATE / 1e3, eps=(1e-15, 1e3)),
}


@pytest.mark.parametrize("scale_loss", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_torchs_own_after_the_backward_pass(kind, scale_loss):
    seed = torch.seed() % 2**31
    nets = [network(seed), network(seed)]
    generators = [torch.Generator().manual_seed(seed) for _ in nets]
    ours = BackwardOptimizer(groups_of(nets[0]), RATE, scale_loss, kind)
    matrices = as_matrices(nets[1])
    theirs = REFERENCES[kind](list(matrices.values()))
    for _ in range(5):
        ours.step(loss_of(nets[0], generators[0]))
        loss_of(nets[1], generators[1]).backward()
        for parameter, matrix in matrices.items():
            matrix.grad, parameter.grad = parameter.grad.view_as(matrix), None
        theirs.step()
    assert all(parameter.grad is None for parameter in nets[0].parameters())
    for a, b, start in zip(nets[0].parameters(), nets[1].parameters(), network(seed).parameters(), strict=True):
        torch.testing.assert_close(a - start, b - start, rtol=1e-3, atol=RATE * 1e-2, msg=f"seed {seed}")
        assert not torch.equal(a, start)


class Reads(TorchDispatchMode):
    """Collects the tensors whose number the host reads."""

    def __init__(self):
        super().__init__()
        self.tensors = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.tensors.append(args[0])
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_never_waits_for_a_number_from_the_device(kind):
    matrices = list(as_matrices(network(0)).values())
    optimizer = KINDS[kind].make(matrices, RATE)
    for _ in range(2):
        for matrix in matrices:
            matrix.grad = torch.rand_like(matrix)
        with Reads() as reads:
            optimizer.step()
    counters = [state["step"] for state in optimizer.state.values()]
    assert all(any(read is counter for counter in counters) for read in reads.tensors)


@pytest.mark.parametrize("gradient", [1e-8, 1e-4, 1e2])
@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(40,), (20, 30), (8, 6, 3, 3), (50, 20, 1, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_about_as_long_as_the_learning_rate_whatever_the_weights_and_gradients(kind, shape, size, gradient):
    generator = torch.Generator().manual_seed(7)
    parameter = torch.nn.Parameter(size * torch.randn(shape, generator=generator))
    slope = gradient * torch.randn(shape, generator=generator)
    start = parameter.detach().double()
    optimizer = BackwardOptimizer({"all": {"x": parameter}}, 1e-2, False, kind)
    optimizer.step((parameter * slope).sum())
    step = (parameter.detach() - start).square().mean().sqrt()
    assert 0.3e-2 < step <= 1.001e-2


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_goes_on_bit_for_bit_and_is_as_large_as_was_said(kind):
    nets = [network(0), network(1)]
    first, second = (BackwardOptimizer(groups_of(net), RATE, True, kind) for net in nets)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        first.step(loss_of(nets[0], generator))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    second.load_state(state)
    for seed in range(3):
        for net, optimizer in zip(nets, (first, second), strict=True):
            optimizer.step(loss_of(net, torch.Generator().manual_seed(seed)))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))
    counters = [tensor for name, tensor in state.items() if name.startswith(("step.", "scaler."))]
    said = state_bytes(kind, [parameter.shape for parameter in nets[0].parameters()])
    assert sum(tensor.nbytes for tensor in state.values()) - sum(tensor.nbytes for tensor in counters) == said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["optimizer", "model", "nothing"])
def test_a_state_that_does_not_fit_changes_nothing(kind, other):
    net, generator = network(0), torch.Generator().manual_seed(2)
    optimizer = BackwardOptimizer(groups_of(net), RATE, False, kind)
    optimizer.step(loss_of(net, generator))
    before = {name: tensor.clone() for name, tensor in optimizer.state().items()}
    state = {"optimizer": {}, "model": dict(before), "nothing": {}}[other]
    if other == "optimizer":
        stranger = network(0)
        wrong = BackwardOptimizer(groups_of(stranger), RATE, False, next(name for name in KINDS if name != kind))
        wrong.step(loss_of(stranger, generator))
        state = wrong.state()
    if other == "model":
        state = {name: tensor[:1] if name.startswith("parameter.5") else tensor for name, tensor in state.items()}
    with pytest.raises((KeyError, RuntimeError)):
        optimizer.load_state(state)
    after = optimizer.state()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_that_is_not_finite_leaves_its_group_as_it_is(kind):
    net, generator = network(0), torch.Generator().manual_seed(2)
    groups = groups_of(net)
    optimizer = BackwardOptimizer(groups, RATE, False, kind)
    start = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    poisoned = groups["rest"]["5.bias"]
    poisoned.register_hook(lambda slope: slope * float("inf"))
    optimizer.step(loss_of(net, generator))
    assert all(torch.equal(start[name], parameter) for name, parameter in groups["rest"].items())
    assert not any(torch.equal(start[name], parameter) for name, parameter in groups["first"].items())


def test_only_another_optimizer_than_adam_makes_another_training():
    """What was saved before there was a choice is found again."""
    assert "optimizer" not in Settings().deciding()
    assert Settings(optimizer="adafactor").deciding() == {**Settings().deciding(), "optimizer": "adafactor"}
