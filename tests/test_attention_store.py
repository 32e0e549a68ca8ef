"""What a source pass keeps: content columns only, in the model's dtype, each LATENT its own."""

import gc
import logging
import types
import weakref

import pytest
import tiny
import torch
from passes import capture, empty_latent, inject, sample
from styo.bridge import keeping
from styo.bridge.capture import maps_of

pytestmark = pytest.mark.usefixtures("inference_mode")


def positions(height, width):
    """Query positions of the tiny model's 7 cross-attention layers: 3 at full and 4 at half resolution."""
    return 3 * height * width + 4 * (height // 2) * (width // 2)


@pytest.mark.parametrize(("sampler", "evaluations"), [("euler", 4), ("heun", 7), ("ddim", 4)])
def test_stored_bytes_are_the_content_columns_and_nothing_else(graph, sampler, evaluations):
    maps = maps_of(graph.source_pass(latent=empty_latent(2, 8, 12), sampler=sampler))
    heads, columns, batch, bytes_a_value = 4, 7, 2, 4
    assert maps.nbytes == batch * positions(8, 12) * heads * columns * evaluations * bytes_a_value
    storage = {columns.untyped_storage().data_ptr(): columns.untyped_storage().nbytes() for columns in maps.tensors}
    assert sum(storage.values()) == maps.nbytes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_maps_have_the_models_dtype(graph, dtype):
    maps = maps_of(graph.source_pass(model=tiny.make_model(dtype=dtype)))
    assert {columns.dtype for columns in maps.tensors} == {dtype}


def test_the_size_of_the_store_is_logged(graph, caplog):
    with caplog.at_level(logging.INFO):
        maps = maps_of(graph.source_pass())
    assert f"{maps.nbytes / 1e6:.1f} MB (cpu, torch.float32)" in caplog.text
    assert "read the content columns of 7 cross-attention layers at 4 of 4 evaluations: 7 columns" in caplog.text


def test_two_samplers_on_one_capture_keep_apart(graph):
    model, latent = capture(graph.model, empty_latent())
    first = sample(model, graph.source, graph.negative, latent, seed=1)
    second = sample(model, graph.source, graph.negative, latent, seed=2)
    for source, seed in ((first, 1), (second, 2)):
        expected = graph.stylize(graph.source_pass(seed=seed), seed=seed)
        assert torch.equal(graph.stylize(source, seed=seed)["samples"], expected["samples"])
    assert not torch.equal(graph.stylize(first)["samples"], graph.stylize(second)["samples"])


def test_maps_of_an_earlier_run_go_with_their_latent(graph):
    model, latent = capture(graph.model, empty_latent())
    first = sample(model, graph.source, graph.negative, latent, seed=1)
    maps = weakref.ref(maps_of(first))
    sample(model, graph.source, graph.negative, latent, seed=2)
    assert maps() is not None
    del first
    gc.collect()
    assert maps() is None


def test_a_sampler_that_hands_on_a_copy_is_understood(graph):
    """As the denoised output of SamplerCustomAdvanced: the same picture in another tensor."""
    source = graph.source_pass()
    copied = {**source, "samples": source["samples"].clone()}
    assert maps_of(copied) is maps_of(source)


def test_a_copy_of_an_earlier_run_has_that_runs_maps_or_none(graph):
    model, latent = capture(graph.model, empty_latent())
    first = sample(model, graph.source, graph.negative, latent, seed=1)
    second = sample(model, graph.source, graph.negative, latent, seed=2)
    copied = {**first, "samples": first["samples"].clone()}
    assert maps_of(copied) is maps_of(first) is not maps_of(second)
    del first
    gc.collect()
    with pytest.raises(ValueError, match="not the direct result"):
        inject(graph.model, copied)


def test_a_latent_that_is_nearly_a_runs_result_is_no_result(graph):
    source = graph.source_pass()
    with pytest.raises(ValueError, match="not the direct result"):
        inject(graph.model, {**source, "samples": source["samples"] + 1e-6})


@pytest.mark.parametrize("sampler_node", ["SamplerCustom", "SamplerCustomAdvanced"])
def test_custom_samplers_carry_the_maps(graph, sampler_node):
    import comfy_extras.nodes_custom_sampler as custom

    model, latent = capture(graph.model, empty_latent())
    sigmas = custom.BasicScheduler.execute(graph.model, "normal", 4, 1.0)[0]
    sampler = custom.KSamplerSelect.execute("euler")[0]
    if sampler_node == "SamplerCustom":
        outputs = custom.SamplerCustom.execute(
            model, True, 5, 7.5, graph.source, graph.negative, sampler, sigmas, latent
        ).args
    else:
        guider = custom.CFGGuider.execute(model, graph.source, graph.negative, 7.5)[0]
        noise = custom.RandomNoise.execute(5)[0]
        outputs = custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, latent).args
    expected = graph.stylize(graph.source_pass())["samples"]
    for output in outputs:
        torch.testing.assert_close(graph.stylize(output)["samples"], expected, rtol=1e-4, atol=1e-4)


def test_maps_beyond_a_quarter_of_the_gpus_room_go_to_pinned_memory(monkeypatch):
    """Without a GPU: tensors that say they are on one, and memory that only says it is pinned."""
    free = 1000 * 4 * 100
    monkeypatch.setattr(keeping.model_management, "get_free_memory", lambda device: free)
    monkeypatch.setattr(keeping.model_management, "MAX_PINNED_MEMORY", 2**40)
    taken, empty = [], torch.empty
    monkeypatch.setattr(
        keeping.torch, "empty", lambda size, dtype, pin_memory: taken.append(size) or empty(size, dtype=dtype)
    )

    def on_gpu():
        columns = torch.randn(1, 2, 100, 5).mT.contiguous().mT
        return types.SimpleNamespace(device=torch.device("cuda"), nbytes=columns.nbytes, mT=columns.mT, values=columns)

    keeper, pairs = keeping.Keeper(), []
    for _ in range(60):
        keeper.begin_evaluation()
        columns = on_gpu()
        pairs.append((columns, keeper.keep(columns)))
    kept_there = [columns for columns, kept in pairs if kept is columns]
    assert kept_there == [columns for columns, _ in pairs[: len(kept_there)]]
    held = sum(columns.nbytes for columns in kept_there)
    assert 0 < held <= (free + held) / 4 < held + 2 * pairs[0][0].nbytes
    assert all(torch.equal(kept, columns.values) for columns, kept in pairs[len(kept_there) :])
    assert taken == [keeping.CHUNK]
