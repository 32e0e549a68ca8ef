"""Wrong graphs give one clear sentence in the words of the sockets, and the next good run works."""

import logging

import comfy.model_base
import comfy.samplers
import pytest
import torch
from passes import capture, empty_latent, inject, photo, sample, source_attention

pytestmark = pytest.mark.usefixtures("inference_mode")


def fails(call, *words):
    with pytest.raises(ValueError) as error:
        call()
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_latent_without_maps(graph):
    fails(lambda: inject(graph.model, empty_latent()), "LATENT at `source` carries no attention maps", "`latent`")


def test_latent_of_a_sampler_that_did_not_use_the_captured_model(graph):
    _, latent = capture(graph.model, empty_latent())
    uncaptured = sample(graph.model, graph.source, graph.negative, latent)
    fails(lambda: inject(graph.model, uncaptured), "not the direct result", "StyO Attention Capture")


def test_latent_changed_after_the_source_pass(graph):
    source = graph.source_pass()
    fails(lambda: inject(graph.model, {**source, "samples": source["samples"] * 2}), "not the direct result")


def test_untagged_conditioning(graph):
    untagged = [[graph.source[0][0], {}]]
    model, latent = capture(graph.model, empty_latent())
    fails(
        lambda: sample(model, untagged, graph.negative, latent),
        "StyO Attention Capture: the sampler's positive conditioning",
        "Connect `source` of StyO Encode Prompts",
    )
    injected = inject(graph.model, graph.source_pass())
    fails(
        lambda: sample(injected, untagged, graph.negative, empty_latent()),
        "StyO Attention Inject",
        "Connect `stylized` of StyO Encode Prompts",
    )
    assert torch.isfinite(graph.stylize(graph.source_pass())["samples"]).all()


@pytest.mark.parametrize("shape", [(1, 16, 8), (1, 8, 16), (2, 16, 16)])
def test_size_mismatch(graph, shape):
    source = graph.source_pass()
    fails(lambda: graph.stylize(source, latent=empty_latent(*shape)), "the latent sizes differ", "1 of 64 x 64 pixels")


def test_batch_mismatch(graph):
    source = graph.source_pass(latent=empty_latent(3))
    fails(lambda: graph.stylize(source, latent=empty_latent(2)), "the latent sizes differ", "had 3 of", "has 2 of")


def test_one_source_serves_a_batch(graph):
    source = graph.source_pass()
    batch = graph.stylize(source, latent=empty_latent(3))["samples"]
    torch.testing.assert_close(batch[:1], graph.stylize(source)["samples"], rtol=1e-3, atol=1e-3)


def test_areas_that_differ_between_the_passes(graph):
    source = graph.source_pass()
    stylized = [[graph.stylized[0][0], {**graph.stylized[0][1], "area": (8, 4, 0, 0)}]]
    model = inject(graph.model, source)
    fails(lambda: sample(model, stylized, graph.negative, empty_latent()), "same areas")


def test_a_node_that_rewrites_the_prompt_inside_the_layers(graph):
    model, latent = capture(graph.model, empty_latent())
    model.set_model_attn2_patch(lambda n, context, value, options: (n, context[:, :50], value[:, :50]))
    fails(lambda: sample(model, graph.source, graph.negative, latent), "Another node rewrites the prompt")


def test_other_sigmas_use_the_nearest_with_one_warning(graph, caplog):
    source = graph.source_pass(steps=4)
    with caplog.at_level(logging.WARNING):
        stylized = graph.stylize(source, steps=6)
    warnings = [record.getMessage() for record in caplog.records if "no maps at sigma" in record.getMessage()]
    assert len(warnings) == 1
    sampling = graph.model.get_model_object("model_sampling")
    captured = comfy.samplers.calculate_sigmas(sampling, "normal", 4)[:-1].tolist()
    asked = next(s for s in comfy.samplers.calculate_sigmas(sampling, "normal", 6).tolist() if s not in captured)
    nearest = min(captured, key=lambda s: abs(s - asked))
    assert f"{asked:.4f}" in warnings[0] and f"{nearest:.4f}" in warnings[0]
    assert torch.isfinite(stylized["samples"]).all()


def test_what_source_attention_cannot_read(graph):
    attend = lambda positive, latent: source_attention(graph.model, positive, latent)  # noqa: E731
    untagged = [[graph.source[0][0], {}]]
    fails(lambda: attend(untagged, photo()), "conditioning at `source`", "Connect `source` of StyO Encode Prompts")
    fails(lambda: attend(graph.source, empty_latent()), "`latent` is empty", "encoded by VAE Encode")
    hooked = [[graph.source[0][0], {**graph.source[0][1], "hooks": object()}]]
    fails(lambda: attend(hooked, photo()), "has hooks")
    for latent, words in (
        (photo(1, 16, 8), ["the latent sizes differ", "`latent` has 1 of 64 x 128 pixels"]),
        (photo(2), ["the latent sizes differ", "`latent` has 2 of", "this pass has 3 of"]),
        ({"samples": torch.randn(1, 16, 8, 8)}, ["has 16 channels", "VAE of this checkpoint"]),
    ):
        fails(lambda latent=latent: graph.plain(graph.stylized, attend(graph.source, latent), empty_latent(3)), *words)


def test_source_attention_needs_the_stylized_prompt_in_the_sampler(graph):
    model = source_attention(graph.model, graph.source, photo())
    untagged = [[graph.stylized[0][0], {}]]
    fails(lambda: graph.plain(untagged, model), "StyO Source Attention", "Connect `stylized` of StyO Encode Prompts")
