"""Inversion gives the noise from which the source pass returns to the source."""

import itertools
import logging

import comfy.model_management
import comfy.model_sampling
import comfy.samplers
import pytest
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
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
    [(50, "ddim_uniform", "ddim", 1, 7), (20, "normal", "euler", 1, 25), (25, "karras", "ddim", 2, 12)],
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
        noise = StyOInvertSource.execute(graph.model, graph.source, source, 10, "ddim_uniform", iterations)[0]
        back = advanced(graph.model, graph.source, graph.negative, noise, 10, "ddim_uniform")["samples"]
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


@pytest.mark.parametrize("deviation", [0.5, 1.0, 3.0])
def test_zero_terminal_snr_is_inverted_under_a_perfect_denoiser(deviation):
    """Latents N(mean, deviation^2): the best estimate is linear, and at sigma 4518 it hardly looks at x."""
    sampling = zero_terminal_snr()
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", 20).flip(0)
    assert float(sigmas[-1]) > 4000
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn((1, 4, 8, 8), generator=generator)
    source = mean + deviation * torch.randn((2, 4, 8, 8), generator=generator)

    def denoise(x, sigma):
        variance, noise = deviation**2, sigma.view(-1, 1, 1, 1) ** 2
        return (x * variance + mean * noise) / (variance + noise)

    x, _ = invert_ddim(denoise, source, sigmas, 10, lambda *args: None)
    for lower, upper in reversed(list(itertools.pairwise(sigmas))):
        x = x + (lower - upper) * (x - denoise(x, upper.view(1))) / upper
    error = float((x - source).norm() / source.norm())
    print(f"deviation {deviation}: relative error of the round trip {error:.1e}")
    assert error < 1e-3


def test_items_of_a_batch_are_inverted_alone():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn((2, 4, 8, 8), generator=generator) * torch.tensor([1.0, 50.0]).view(2, 1, 1, 1)
    sigmas = torch.tensor([0.0, 0.7, 3.0, 20.0])

    def invert(x):
        return invert_ddim(lambda x, sigma: torch.tanh(x) * 0.8, x, sigmas, 3, lambda *args: None)[0]

    torch.testing.assert_close(invert(source), torch.cat([invert(source[:1]), invert(source[1:])]))


def zero_terminal_snr():
    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.V_PREDICTION):
        pass

    return Sampling(zsnr=True)


def test_a_velocity_model_with_zero_terminal_snr_gives_the_source_back(graph):
    model = ModelSamplingDiscrete().patch(graph.model, "v_prediction", True)[0]
    source = source_latent()
    noise = StyOInvertSource.execute(model, graph.source, source, 20, "normal", 10)[0]
    assert float(noise["samples"].std()) > 10_000
    back = advanced(model, graph.source, graph.negative, noise, 20, "normal")["samples"]
    error = float((back - source["samples"]).norm() / source["samples"].norm())
    print(f"v, zero terminal SNR: relative error of the round trip {error:.1e}")
    assert error < 1e-3


def test_noise_too_large_for_half_precision_is_said(graph, monkeypatch):
    model = ModelSamplingDiscrete().patch(graph.model, "v_prediction", True)[0]
    monkeypatch.setattr(comfy.model_management, "intermediate_dtype", lambda: torch.float16)
    with pytest.raises(ValueError, match="without --fp16-intermediates"):
        StyOInvertSource.execute(model, graph.source, source_latent(), 4, "normal", 4)
