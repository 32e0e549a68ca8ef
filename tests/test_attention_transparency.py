"""Where the pack is not asked to act, it is not there: outputs are bit-identical."""

import collections

import comfy.model_management as mm
import pytest
import torch
from passes import capture, empty_latent, inject, photo, sample, source_attention
from torch.utils._python_dispatch import TorchDispatchMode

pytestmark = pytest.mark.usefixtures("inference_mode")

SAMPLERS = ["ddim", "heun", "euler_ancestral", "dpmpp_sde"]
GUIDANCE_AND_BATCH = [[(1.0, 1), (7.5, 3)], [(1.0, 3), (7.5, 1)]]
"""By turns: every sampler meets both of either, and every pair of them meets half of the samplers."""


def same(a, b):
    return torch.equal(a["samples"], b["samples"])


@pytest.mark.parametrize(
    ("sampler", "cfg", "batch"),
    [(sampler, *pair) for n, sampler in enumerate(SAMPLERS) for pair in GUIDANCE_AND_BATCH[n % 2]],
)
def test_capture_leaves_the_sampled_latent_unchanged(graph, sampler, cfg, batch):
    latent = empty_latent(batch)
    plain = graph.plain(graph.source, latent=latent, sampler=sampler, cfg=cfg)
    assert same(graph.source_pass(latent=latent, sampler=sampler, cfg=cfg), plain)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_strength_zero_is_no_inject(graph, sampler):
    source = graph.source_pass(sampler=sampler)
    assert same(graph.stylize(source, strength=0.0, sampler=sampler), graph.plain(graph.stylized, sampler=sampler))


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.7, 0.3), (0.0, 0.0)])
def test_an_empty_window_is_no_inject(graph, window):
    source = graph.source_pass()
    stylized = graph.stylize(source, start_percent=window[0], end_percent=window[1])
    assert same(stylized, graph.plain(graph.stylized))


def test_outside_its_window_a_step_is_as_without_inject(graph):
    """The first of 4 steps starts above the window: its result must be bit-identical."""
    source = graph.source_pass()
    seen = {}

    def first_denoised(model, name):
        model = model.clone()
        model.set_model_sampler_post_cfg_function(lambda args: seen.setdefault(name, args["denoised"]))
        return model

    injected = inject(graph.model, source, start_percent=0.3)
    graph.plain(graph.stylized, model=first_denoised(injected, "injected"))
    graph.plain(graph.stylized, model=first_denoised(graph.model, "plain"))
    assert torch.equal(seen["injected"], seen["plain"])


class Operations(TorchDispatchMode):
    """Counts the tensor operations that run while it is active."""

    def __init__(self):
        super().__init__()
        self.counts = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


READING_A_NUMBER = {"select", "item", "_local_scalar_dense"}


@pytest.mark.parametrize(("window", "inactive"), [((0.44, 0.56), True), ((0.0, 1.0), False)])
def test_a_step_outside_the_window_only_reads_its_noise_level(graph, window, inactive):
    """Twice the steps, and Inject adds no other operation; none of these steps lies within the first window."""
    added = []
    for steps in (4, 8):
        source = graph.source_pass(steps=steps)
        with Operations() as plain:
            graph.plain(graph.stylized, steps=steps)
        with Operations() as injected:
            graph.stylize(source, start_percent=window[0], end_percent=window[1], steps=steps)
        added.append(injected.counts - plain.counts)
    assert (set(added[1] - added[0]) <= READING_A_NUMBER) == inactive


def test_the_input_model_and_latent_are_untouched(graph):
    before = graph.plain(graph.source)
    latent = empty_latent()
    options = str(graph.model.model_options)
    source = sample(*capture_into(graph, latent))
    graph.stylize(source)
    assert list(latent) == ["samples"]
    assert str(graph.model.model_options) == options and not graph.model.wrappers
    assert same(graph.plain(graph.source), before)


def capture_into(graph, latent):
    model, started = capture(graph.model, latent)
    return model, graph.source, graph.negative, started


@pytest.mark.parametrize("failure", [RuntimeError, mm.InterruptProcessingException])
@pytest.mark.parametrize("stage", ["capture", "inject"])
def test_a_cancelled_or_failed_run_leaves_nothing_behind(graph, stage, failure):
    plain = graph.plain(graph.stylized)
    source = graph.source_pass()

    def fail(args):
        raise failure()

    if stage == "capture":
        model, latent = capture(graph.model, empty_latent())
        positive = graph.source
    else:
        model, latent, positive = inject(graph.model, source), empty_latent(), graph.stylized
    failing = model.clone()
    failing.set_model_sampler_post_cfg_function(fail)
    with pytest.raises(failure):
        sample(failing, positive, graph.negative, latent)
    assert same(graph.plain(graph.stylized), plain)
    assert same(graph.stylize(source), graph.stylize(source))
    if stage == "capture":
        with pytest.raises(ValueError, match="not the direct result of a finished sampler run"):
            inject(graph.model, latent)
        assert same(sample(model, positive, graph.negative, latent), graph.plain(graph.source))


def test_injecting_a_pass_into_itself_changes_nothing(graph):
    """M_src = M_sty: replacement is the identity, for a sampler that visits sigmas twice too."""
    for sampler in SAMPLERS:
        source = graph.source_pass(sampler=sampler)
        again = graph.plain(graph.source, model=inject(graph.model, source), sampler=sampler)
        torch.testing.assert_close(again["samples"], source["samples"], rtol=1e-3, atol=1e-3)


def unet_calls(model):
    """A clone of ``model``, and the list of the rows of every UNet call it makes."""
    model, calls = model.clone(), []

    def count(apply_model, args):
        calls.append(len(args["input"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    model.set_model_unet_function_wrapper(count)
    return model, calls


@pytest.mark.parametrize("off", [{"strength": 0.0}, {"start_percent": 0.5, "end_percent": 0.5}, {"end_percent": 0.0}])
def test_source_attention_that_is_off_is_not_there(graph, off):
    model, calls = unet_calls(graph.model)
    result = graph.plain(graph.stylized, source_attention(model, graph.source, photo(), **off))
    assert same(result, graph.plain(graph.stylized)) and calls == [2] * 4


def test_source_attention_reads_the_photo_once_an_evaluation_without_guidance_and_only_in_its_window(graph):
    model, calls = unet_calls(graph.model)
    graph.plain(graph.stylized, source_attention(model, graph.source, photo()), empty_latent(3))
    assert calls == [1, 6] * 4
    calls.clear()
    seen = {}

    def first_denoised(model, name):
        model = model.clone()
        model.set_model_sampler_post_cfg_function(lambda args: seen.setdefault(name, args["denoised"]))
        return model

    attended = source_attention(model, graph.source, photo(), start_percent=0.3)
    graph.plain(graph.stylized, first_denoised(attended, "attended"))
    graph.plain(graph.stylized, first_denoised(graph.model, "plain"))
    assert torch.equal(seen["attended"], seen["plain"]) and calls[0] == 2 and sorted(set(calls)) == [1, 2]


def test_source_attention_disturbs_no_random_numbers_and_leaves_nothing_behind(graph):
    """Ancestral samplers draw theirs as they go."""
    plain = graph.plain(graph.stylized, sampler="euler_ancestral")
    model = source_attention(graph.model, graph.source, photo(), strength=1e-12)
    torch.testing.assert_close(
        graph.plain(graph.stylized, model, sampler="euler_ancestral")["samples"], plain["samples"], rtol=1e-3, atol=1e-3
    )
    graph.plain(graph.stylized, source_attention(graph.model, graph.source, photo()), sampler="euler_ancestral")
    assert same(graph.plain(graph.stylized, sampler="euler_ancestral"), plain)
