"""Inversion gives the noise from which the source pass returns to the source."""

import itertools
import logging

import pytest
import torch
from passes import Graph, capture, inject
from styo.bridge.capture import maps_of
from styo.nodes.inversion import StyOInvertSource
from styo.styo_attention.inversion import invert_ddim

import nodes

pytestmark = pytest.mark.usefixtures("inference_mode")


@pytest.fixture(scope="module")
def graph():
    with torch.inference_mode():
        graph = Graph()
        # Random weights predict noise far rougher than a trained model's; a calmer output makes them alike in this.
        graph.model.model.diffusion_model.out[2].weight.data.mul_(0.1)
        return graph


def source_latent(batch=1):
    return {"samples": torch.randn(batch, 4, 8, 12, generator=torch.Generator().manual_seed(3)) * 4}


def advanced(model, positive, negative, latent, steps, scheduler, sampler="ddim", cfg=1.0):
    """KSampler (Advanced) with added noise off."""
    arguments = (0, steps, cfg, sampler, scheduler, positive, negative, latent, 0, 10000, "disable")
    return nodes.KSamplerAdvanced().sample(model, "disable", *arguments)[0]


@pytest.mark.parametrize(
    ("steps", "scheduler", "sampler", "batch", "iterations"),
    [(50, "ddim_uniform", "ddim", 1, 10), (20, "normal", "euler", 1, 30), (25, "karras", "ddim", 2, 12)],
)
def test_the_source_pass_gives_the_source_back(graph, steps, scheduler, sampler, batch, iterations):
    source = source_latent(batch)
    noise = StyOInvertSource.execute(graph.model, graph.source, source, steps, scheduler, iterations)[0]
    back = advanced(graph.model, graph.source, graph.negative, noise, steps, scheduler, sampler)["samples"]
    error = float((back - source["samples"]).norm() / source["samples"].norm())
    print(f"{steps} steps, {scheduler}: relative error of the round trip {error:.1e}")
    assert error <= 1e-4
    moved = float((noise["samples"] - source["samples"]).norm() / source["samples"].norm())
    assert moved > 1, "the noise is hardly other than the source"


def test_more_iterations_come_closer(graph):
    source = source_latent()
    errors = []
    for iterations in (1, 3, 10):
        noise = StyOInvertSource.execute(graph.model, graph.source, source, 20, "ddim_uniform", iterations)[0]
        back = advanced(graph.model, graph.source, graph.negative, noise, 20, "ddim_uniform")["samples"]
        errors.append(float((back - source["samples"]).norm()))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_too_few_iterations_are_said(graph, caplog):
    with caplog.at_level(logging.WARNING):
        StyOInvertSource.execute(graph.model, graph.source, source_latent(), 10, "ddim_uniform", 1)
    assert "has not converged" in caplog.text


def test_an_inversion_that_breaks_down_is_said(graph, caplog):
    weight = graph.model.model.diffusion_model.out[2].weight
    kept = weight.data.clone()
    weight.data.fill_(torch.nan)
    try:
        with caplog.at_level(logging.WARNING):
            StyOInvertSource.execute(graph.model, graph.source, source_latent(), 4, "ddim_uniform", 2)
    finally:
        weight.data.copy_(kept)
    assert "has not converged (last change nan)" in caplog.text


def test_a_mask_is_not_handed_on_with_the_noise(graph):
    masked = {**source_latent(), "noise_mask": torch.ones(1, 64, 96), "batch_index": [0]}
    noise = StyOInvertSource.execute(graph.model, graph.source, masked, 4, "ddim_uniform", 2)[0]
    assert "noise_mask" not in noise, "samplers would keep the noise itself outside of the mask"
    assert noise["batch_index"] == [0]


def test_both_passes_of_stage_two_run_from_the_inverted_source(graph):
    source = source_latent()
    noise = StyOInvertSource.execute(graph.model, graph.source, source, 10, "ddim_uniform", 20)[0]
    model, latent = capture(graph.model, noise)
    captured = advanced(model, graph.source, graph.negative, latent, 10, "ddim_uniform")
    assert len(maps_of(captured)) == 10
    injected = inject(graph.model, captured)
    stylized = advanced(injected, graph.stylized, graph.negative, noise, 10, "ddim_uniform", cfg=7.5)["samples"]
    plain = advanced(graph.model, graph.stylized, graph.negative, noise, 10, "ddim_uniform", cfg=7.5)["samples"]
    assert float((stylized - plain).norm() / plain.norm()) > 1e-3


def test_inverting_equals_solving_each_step(graph):
    """With eps(x) linear in x, every implicit step has a closed solution."""
    torch.manual_seed(0)
    a = (torch.rand(6, dtype=torch.float64) - 0.5) * 0.2
    sigmas = torch.tensor([0.0, 0.5, 1.5, 4.0], dtype=torch.float64)
    x = torch.randn(1, 6, 1, 1, dtype=torch.float64)
    a = a.view(1, 6, 1, 1)
    noise, residual = invert_ddim(lambda x, sigma: x - sigma * a * x, x, sigmas, 60, lambda *args: None)
    expected = x
    for lower, upper in itertools.pairwise(sigmas):
        expected = expected / (1 - (upper - lower) * a)
    torch.testing.assert_close(noise, expected, rtol=1e-12, atol=1e-12)
    assert residual < 1e-12
