"""Whatever other nodes do with the UNet: the right maps in the right rows, or one sentence; never silently none."""

import functools
import logging

import comfy.k_diffusion.sampling as k_diffusion
import comfy_extras.nodes_context_windows as context_windows
import comfy_extras.nodes_easycache as easycache
import node_helpers
import pytest
import tiny
import torch
from comfy_api.torch_helpers import set_torch_compile_wrapper
from passes import capture, empty_latent, inject, photo, sample, source_attention
from styo.bridge import replacing
from styo.nodes.prompts import StyOEncodePrompts
from styo.training.prompts import Prompts
from test_attention_errors import fails

import nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

SOURCE_SEED, OWN_SEED = 5, 11
STEPS = 2


def relative(a, b):
    return float((a["samples"] - b["samples"]).norm() / b["samples"].norm())


def source_pass(graph, model=None, positive=None, latent=None, **sampling):
    captured, started = capture(model or graph.model, latent or photo())
    positive = positive or graph.source
    return sample(captured, positive, graph.negative, started, seed=SOURCE_SEED, **{"steps": STEPS, **sampling})


def stylize(graph, model, positive=None, latent=None, **sampling):
    positive, latent = positive or graph.stylized, latent or empty_latent()
    return sample(model, positive, graph.negative, latent, seed=OWN_SEED, **{"steps": STEPS, **sampling})


def with_unet_function(model, function):
    """A clone of ``model`` that evaluates through ``function(apply_model, {"input", "timestep", "c", ...})``."""
    model = model.clone()
    model.set_model_unet_function_wrapper(function)
    return model


def ways(graph, patch):
    """{way: function that stylizes with ``patch(model)``}, for every way the content gets into the stylization."""
    return {
        "inject": lambda **k: stylize(graph, inject(patch(graph.model), source_pass(graph, patch(graph.model))), **k),
        "source attention": lambda **k: stylize(
            graph, source_attention(patch(graph.model), graph.source, photo()), **k
        ),
    }


def tiles(rows, apply_model, args):
    """As tiled diffusion: overlapping parts of the latent, ``rows`` of them in one UNet call, one behind the other."""
    x, timestep, c = args["input"], args["timestep"], args["c"]
    starts = (0, 2, 4)
    out, count = torch.zeros_like(x), torch.zeros_like(x)
    for i in range(0, len(starts), rows):
        part = starts[i : i + rows]
        many = {k: v.repeat(len(part), 1, 1) if k == "c_crossattn" else v for k, v in c.items()}
        tile = torch.cat([x[:, :, s : s + 4] for s in part])
        done = apply_model(tile, timestep.repeat(len(part)), **many).chunk(len(part))
        for s, result in zip(part, done, strict=True):
            out[:, :, s : s + 4] += result
            count[:, :, s : s + 4] += 1
    return out / count


def one_tile_a_call(apply_model, args):
    return tiles(1, apply_model, args)


def two_tiles_a_call(apply_model, args):
    return tiles(2, apply_model, args)


def one_prompt_a_call(apply_model, args):
    """Splits what ComfyUI has batched, and says nothing of it."""
    x, timestep, c = args["input"], args["timestep"], args["c"]
    count = len(args["cond_or_uncond"])
    parts = [{k: v.chunk(count)[i] if k == "c_crossattn" else v for k, v in c.items()} for i in range(count)]
    pairs = zip(x.chunk(count), timestep.chunk(count), parts, strict=True)
    return torch.cat([apply_model(rows, times, **part) for rows, times, part in pairs])


def other_way_round(apply_model, args):
    c = {k: v.flip(0) if k == "c_crossattn" else v for k, v in args["c"].items()}
    return apply_model(args["input"].flip(0), args["timestep"].flip(0), **c).flip(0)


@pytest.mark.parametrize("function", [one_tile_a_call, two_tiles_a_call, one_prompt_a_call, other_way_round])
def test_a_pass_into_itself_changes_nothing_however_the_batch_is_laid_out(graph, function):
    model = with_unet_function(graph.model, function)
    source = source_pass(graph, model)
    again = sample(inject(model, source), graph.source, graph.negative, photo(), seed=SOURCE_SEED, steps=STEPS)
    assert relative(again, source) < 1e-4


@pytest.mark.parametrize("way", ["inject", "source attention"])
def test_the_layout_of_the_batch_decides_nothing(graph, way):
    """Tiles one by one or two at once, prompts together, apart or the other way round: the same picture."""

    def run(function):
        return ways(graph, lambda model: with_unet_function(model, function))[way]()

    one, two = run(one_tile_a_call), run(two_tiles_a_call)
    assert relative(two, one) < 1e-4
    usual = ways(graph, lambda model: model)[way]()
    for function in (one_prompt_a_call, other_way_round):
        assert relative(run(function), usual) < 1e-4
    assert relative(usual, stylize(graph, graph.model)) > 1e-2


def test_tiles_in_one_pass_only_are_refused(graph):
    tiled = with_unet_function(graph.model, one_tile_a_call)
    whole, parts = source_pass(graph), source_pass(graph, tiled)
    fails(lambda: stylize(graph, inject(tiled, whole)), "cut the latent into other parts", "areas, masks and model")
    fails(lambda: stylize(graph, inject(graph.model, parts)), "cut the latent into other parts")


def test_prompts_that_are_alike_cannot_be_told_apart_in_tiles(graph):
    tiled = with_unet_function(graph.model, two_tiles_a_call)
    captured, started = capture(tiled, photo())
    fails(
        lambda: sample(captured, graph.source, [[graph.source[0][0], {}]], started),
        "StyO Attention Capture",
        "two prompts are alike",
    )


def windows(dim, length, overlap):
    return lambda model: context_windows.ContextWindowsManualNode.execute(
        model, length, overlap, "standard_static", 1, False, "flat", dim, False
    )[0]


@pytest.mark.parametrize(("dim", "length", "batch"), [(0, 2, 4), (2, 4, 1)])
def test_context_windows(graph, dim, length, batch):
    """A pass into itself is the identity; windows in the stylization alone need a source that fits each of them."""
    latent = photo(batch)
    model = windows(dim, length, 1)(graph.model)
    source = source_pass(graph, model, latent=latent)
    again = sample(inject(model, source), graph.source, graph.negative, latent, seed=SOURCE_SEED, steps=STEPS)
    assert relative(again, source) < 1e-4
    whole, start = source_pass(graph, latent=latent), empty_latent(batch)
    assert relative(source, whole) > 1e-3 or dim == 0
    fails(lambda: stylize(graph, inject(model, whole), latent=start), "cut the latent into other parts")
    other = windows(dim, length, 0)(graph.model)
    fails(lambda: stylize(graph, inject(other, source), latent=start), "cut the latent into other parts")


def test_windows_over_a_batch_share_one_photo(graph):
    model = windows(0, 2, 1)(graph.model)
    for way in ("inject", "source attention"):
        windowed = ways(graph, lambda patched: patched)[way](latent=empty_latent(3))
        apart = ways(graph, lambda _: model)[way](latent=empty_latent(3))
        assert relative(apart, windowed) < 1e-4


def own_unet(evaluations=()):
    """A node with a UNet function of its own, as DeepCache has, in all evaluations but the numbered ones."""
    seen = []

    def function(apply_model, args):
        seen.append(args["timestep"])
        if len(seen) - 1 in evaluations:
            return apply_model(args["input"], args["timestep"], **args["c"])
        return args["input"] * 0.5

    return lambda model: with_unet_function(model, function)


@pytest.mark.parametrize("way", ["capture", "inject", "source attention"])
def test_a_unet_function_of_another_nodes_own_is_an_error(graph, way):
    model = own_unet()(graph.model)
    source = source_pass(graph)
    calls = {
        "capture": lambda: source_pass(graph, model),
        "inject": lambda: stylize(graph, inject(model, source)),
        "source attention": lambda: stylize(graph, source_attention(model, graph.source, photo())),
    }
    fails(calls[way], "cross-attention layers are never reached", "function of its own, as DeepCache does")
    assert relative(source_pass(graph), source) == 0


@pytest.mark.parametrize("stage", ["capture", "inject"])
def test_evaluations_that_are_not_reached_are_counted(graph, caplog, stage):
    """The first two of four evaluations are ordinary."""
    model = own_unet((0, 1))(graph.model)
    source = source_pass(graph, model if stage == "capture" else None, steps=4)
    if stage == "inject":
        stylize(graph, inject(model, source), steps=4)
    did = {"capture": "read", "inject": "replaced"}[stage]
    said = [r.getMessage() for r in caplog.records if "in its own way" in r.getMessage()]
    assert len(said) == 1
    assert "in 2 of 4 evaluations" in said[0] and f"are not all {did}" in said[0]


def test_layers_that_are_not_reached_are_counted(graph, caplog, monkeypatch):
    """A node that leaves out the UNet's last block, as caches of blocks do, at every evaluation but the first."""
    model = inject(graph.model, source_pass(graph, steps=4))
    block = next(m for m in graph.model.model.diffusion_model.output_blocks[-1] if hasattr(m, "transformer_blocks"))
    whole, calls = block.forward, []

    def cached(x, *args, **kwargs):
        calls.append(x)
        return whole(x, *args, **kwargs) if len(calls) == 1 else x

    monkeypatch.setattr(block, "forward", cached)
    stylize(graph, model, steps=4)
    said = [r.getMessage() for r in caplog.records if "another node ran the UNet in part" in r.getMessage()]
    assert len(said) == 1 and "in 3 of 4 evaluations" in said[0]


def compiled(model):
    model = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(model, backend="eager")
    return model


@pytest.mark.parametrize("way", ["inject", "source attention"])
def test_a_compiled_model_gives_what_it_gives_uncompiled(graph, caplog, way):
    with caplog.at_level(logging.INFO):
        result = ways(graph, compiled)[way]()
    assert relative(result, ways(graph, lambda model: model)[way]()) == 0
    assert "torch.compile is left out" in caplog.text


def test_a_model_compiled_for_good_is_refused_and_plain_runs_go_on(graph):
    plain = stylize(graph, graph.model)
    model = graph.model.clone()
    model.add_object_patch("diffusion_model", torch.compile(graph.model.model.diffusion_model, backend="eager"))
    fails(lambda: source_pass(graph, model), "StyO Attention Capture", "compiled this MODEL", "TorchCompileModel")
    assert relative(stylize(graph, graph.model), plain) == 0


@pytest.mark.parametrize("wired", ["target", "auxiliary"])
def test_another_prompt_in_the_place_of_source_is_noticed_by_its_words(graph, wired):
    """`target` has as many tokens as `source`, at the same places."""
    other = getattr(graph, wired)
    source = source_pass(graph, positive=other)
    words = ("other content words", "Connect `source` of StyO Encode Prompts")
    fails(lambda: stylize(graph, inject(graph.model, source)), "StyO Attention Inject", *words)
    model = source_attention(graph.model, other, photo())
    fails(lambda: stylize(graph, model), "StyO Source Attention", *words)


@pytest.fixture(scope="module")
def couple(graph):
    """(source, stylized) of a second person, in the same model."""
    encoded = StyOEncodePrompts.execute(graph.clip, Prompts(source_content="m4a1", target_content="sks")).args
    return encoded[0], encoded[3]


LEFT, RIGHT = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
LEFT[..., :40], RIGHT[..., 24:] = 1, 1
PLACES = {
    "words alone": ({}, {}),
    "areas": ({"area": (8, 4, 0, 0)}, {"area": (8, 4, 0, 4)}),
    "masks": ({"mask": LEFT, "mask_strength": 1.0}, {"mask": RIGHT, "mask_strength": 1.0}),
    "timestep ranges": ({"end_percent": 0.6}, {"start_percent": 0.6}),
}


@pytest.mark.parametrize(
    ("places", "same_words"),
    [("words alone", False), ("areas", True), ("masks", True), ("masks", False), ("timestep ranges", True)],
)
def test_two_prompts_take_their_own_maps_in_whichever_order_they_are_combined(graph, couple, places, same_words):
    second_source, second_stylized = (graph.source, graph.stylized) if same_words else couple
    first, second = PLACES[places]

    def combine(a, b):
        return [*node_helpers.conditioning_set_values(a, first), *node_helpers.conditioning_set_values(b, second)]

    sources = combine(graph.source, second_source)
    stylized = combine(graph.stylized, second_stylized)
    ways = (
        lambda positive: inject(graph.model, source_pass(graph, positive=positive)),
        lambda positive: source_attention(graph.model, positive, photo()),
    )
    for way in ways:
        model = way(sources)
        expected = stylize(graph, model, stylized)
        assert relative(stylize(graph, way(sources[::-1]), stylized), expected) < 1e-4
        assert relative(stylize(graph, model, stylized[::-1]), expected) < 1e-4


def test_prompts_that_could_be_either_are_refused(graph):
    """Two of the same words in the source pass, each with its area, and one for all in the stylization."""
    first, second = PLACES["areas"]
    both = [*(node_helpers.conditioning_set_values(graph.source, place)[0] for place in (first, second))]
    fails(
        lambda: stylize(graph, inject(graph.model, source_pass(graph, positive=both))),
        "could take the maps of 2 prompts",
        "same areas, masks and timestep ranges",
    )


def test_tokens_that_another_node_adds_are_noticed(graph):
    """Inside a layer, as many as the prompt has, and before the UNet."""

    def inside(model):
        model = model.clone()
        model.set_model_attn2_patch(
            lambda n, context, value, options: (n, *(torch.cat([t, t.flip(1)], 1) for t in (context, value)))
        )
        return model

    def before(apply_model, args):
        context = args["c"]["c_crossattn"]
        c = {**args["c"], "c_crossattn": torch.cat([context, context.flip(1)], 1)}
        return apply_model(args["input"], args["timestep"], **c)

    source = source_pass(graph)
    fails(lambda: source_pass(graph, inside(graph.model)), "rewrites the prompt inside", "154 tokens, where 2 of 77")
    fails(lambda: stylize(graph, inject(inside(graph.model), source)), "rewrites the prompt inside")
    fails(lambda: source_pass(graph, with_unet_function(graph.model, before)), "adds tokens to the prompt (154")


def test_maps_of_another_checkpoint_are_noticed(graph, caplog):
    source = source_pass(graph)
    with caplog.at_level(logging.WARNING):
        stylize(graph, inject(graph.model, source))
        stylize(graph, inject(tiny.make_model(), source))
        assert "other weights" not in caplog.text, "the same checkpoint, loaded anew"
        stylize(graph, inject(tiny.make_model(seed=1), source))
    assert caplog.text.count("the source pass ran on other weights than this pass") == 1
    fails(lambda: stylize(graph, inject(tiny.make_model(heads=2), source)), "has 2 heads", "had 4")


def advanced(model, positive, negative, latent, start, end, steps=3, sampler="euler", noise=True, seed=SOURCE_SEED):
    """KSampler (Advanced) from step ``start`` to ``end``."""
    switch = {True: "enable", False: "disable"}
    return nodes.KSamplerAdvanced().sample(
        model, switch[noise], seed, steps, 7.5, sampler, "normal", positive, negative, latent, start, end,
        switch[end < steps],
    )[0]  # fmt: skip


@pytest.mark.parametrize("sampler", ["euler", "heun", "sa_solver_pece"])
def test_a_sampler_split_in_two_is_one_sampler(graph, caplog, sampler):
    """Source pass, stylization, or both in two: the same picture, and nothing to warn of."""
    steps = 3

    def source(parts):
        model, latent = capture(graph.model, photo())
        for n, (start, end) in enumerate(parts):
            latent = advanced(model, graph.source, graph.negative, latent, start, end, sampler=sampler, noise=n == 0)
        return latent

    def stylized(model, parts):
        latent = empty_latent()
        for n, (start, end) in enumerate(parts):
            latent = advanced(
                model, graph.stylized, graph.negative, latent, start, end, sampler=sampler, noise=n == 0, seed=OWN_SEED
            )
        return latent

    whole, parts = [(0, steps)], [(0, 1), (1, steps)]
    with caplog.at_level(logging.WARNING):
        models = [inject(graph.model, source(way)) for way in (whole, parts)]
        models.append(source_attention(graph.model, graph.source, photo()))
        results = [[stylized(model, way) for way in (whole, parts)] for model in models]
    if sampler != "sa_solver_pece":  # it remembers steps, which a second sampler does not
        assert relative(results[1][0], results[0][0]) < 1e-4
        assert all(relative(in_two, at_once) < 1e-4 for at_once, in_two in results)
    assert not [r.getMessage() for r in caplog.records if "StyO" in r.getMessage()]


@pytest.mark.parametrize("kind", ["easycache", "lazycache", "dpm_adaptive", "timestep range"])
def test_no_false_alarm(graph, caplog, monkeypatch, kind):
    adaptive = k_diffusion.sample_dpm_adaptive
    monkeypatch.setattr(k_diffusion, "sample_dpm_adaptive", functools.partial(adaptive, rtol=2.0, atol=2.0))
    patches = {
        "easycache": lambda m: easycache.EasyCacheNode.execute(m, 3.0, 0.15, 0.95, False)[0],
        "lazycache": lambda m: easycache.LazyCacheNode.execute(m, 3.0, 0.15, 0.95, False)[0],
    }
    patch = patches.get(kind, lambda model: model)
    sampling = {"sampler": "dpm_adaptive"} if kind == "dpm_adaptive" else {"steps": 6 if kind in patches else 4}
    limits = {"start_percent": 0.0, "end_percent": 0.5} if kind == "timestep range" else {}
    source, stylized = (node_helpers.conditioning_set_values(c, limits) for c in (graph.source, graph.stylized))
    rest = node_helpers.conditioning_set_values(graph.negative, {"start_percent": 0.5}) if limits else []
    with caplog.at_level(logging.INFO):
        captured = source_pass(graph, patch(graph.model), [*source, *rest], **sampling)
        stylize(graph, inject(patch(graph.model), captured), [*stylized, *rest], **sampling)
        stylize(graph, source_attention(patch(graph.model), source, photo()), [*stylized, *rest], **sampling)
    assert not [r.getMessage() for r in caplog.records if r.levelno > logging.INFO and "StyO" in r.getMessage()]
    assert ("skipped by another node" in caplog.text) == (kind == "easycache")


def test_the_log_says_what_was_moved(graph, caplog, monkeypatch):
    monkeypatch.setattr(replacing, "MEASURED", 1)

    def line(model, positive):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            sample(model, positive, graph.negative, photo(), seed=SOURCE_SEED)
        said = [r.getMessage() for r in caplog.records if "replaced the content columns" in r.getMessage()]
        assert len(said) == 1
        return said[0]

    model = inject(graph.model, source_pass(graph, steps=4))
    assert line(model, graph.source).endswith("% of the attention, 0.0% of which was moved")
    said = line(model, graph.stylized)
    assert said.startswith("StyO: replaced the content columns of 7 cross-attention layers at 4 of 4 evaluations; they")
    assert not said.endswith(" 0.0% of which was moved")


def test_a_window_without_an_evaluation_is_said(graph, caplog):
    with caplog.at_level(logging.INFO):
        stylize(graph, inject(graph.model, source_pass(graph), start_percent=0.99, end_percent=0.991))
    assert "replaced the content columns of 0 cross-attention layers at 0 of 0 evaluations" in caplog.text
