"""FCC (section 3.3) through real samplers equals the dense float64 reference on final latents, whatever the graph."""

import copy

import node_helpers
import pytest
import tiny
import torch
from comfy.ldm.modules import attention
from dense_reference import DenseUNet, NoisedPhoto, content_positions, maps_of_pass
from styo.bridge.capture import KEY, Capture, pass_of
from styo.bridge.inject import Amount, Inject
from styo.bridge.prompt_encoding import encode_prompts
from styo.bridge.source_attention import SourceAttention
from styo.training.prompts import Prompts

import nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

STEPS = 3
PAPER = Prompts()
LONG = "portrait of a person " + "with a very long description of clothes and light " * 18


@pytest.fixture(scope="module")
def clip():
    return tiny.make_clip()


@pytest.fixture(scope="module")
def model():
    return tiny.make_model()


def encode_text(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def sample(model, positive, negative, latent, sampler="euler", scheduler="normal", cfg=7.5, seed=5, steps=STEPS):
    return nodes.common_ksampler(model, seed, steps, cfg, sampler, scheduler, positive, negative, latent)[0]


def photo_like(shape):
    """What VAE Encode would give for a photo: not empty, and of another batch item for every item."""
    return {"samples": torch.randn(shape, generator=torch.Generator().manual_seed(7))}


WAYS = ("capture", "source attention")


def check(
    model,
    clip,
    prompts=PAPER,
    style_prompts=None,
    negative="",
    shape=(1, 4, 8, 8),
    regions=lambda conditioning: conditioning,
    strength=1.0,
    window=(0.0, 1.0),
    separate=False,
    ways=WAYS,
    **sampling,
):
    """Stylize from noise of its own with the pack and with the dense reference, and compare the latents.

    The content comes from a captured source pass that starts from a noised photo, or from the photo noised to each
    evaluation's noise level.
    """
    style_prompts = style_prompts or prompts
    source, _, _, _ = encode_prompts(clip, prompts)
    _, _, _, stylized = encode_prompts(clip, style_prompts)
    negative = encode_text(clip, negative) if isinstance(negative, str) else negative
    start = {"samples": torch.zeros(shape)}
    photo = photo_like(shape)

    if separate:
        model = tiny.make_model()
    words = " ".join(word.text for word in prompts.source_content_words)
    sigma = model.get_model_object("model_sampling").percent_to_sigma
    replacement = {
        "columns": content_positions(clip, style_prompts.stylized, words),
        "source_columns": content_positions(clip, prompts.source, words),
        "strength": strength,
        "window": (float(sigma(window[1])), float(sigma(window[0]))),
    }

    def ready(patcher):
        if separate:
            patcher.model.memory_required = lambda *args, **kwargs: 1e30
        return patcher

    def captured(seed):
        """Ours, and the source for the dense reference: a source pass from the noised photo."""
        reading = ready(tiny.make_model())
        reader = DenseUNet(reading, source[0][0])
        sample(reading, regions(source), negative, photo, seed=seed, **sampling)
        capture = Capture()
        started = {**photo, KEY: capture}
        result = sample(capture.attach(model), regions(source), negative, started, seed=seed, **sampling)
        return Inject(pass_of(result), Amount(strength, *window)), maps_of_pass(reader.maps)

    def attended(seed):
        """Ours, and the source for the dense reference: the photo noised to each evaluation's noise level."""
        reading = ready(tiny.make_model())
        reader = DenseUNet(reading, source[0][0])
        noised = NoisedPhoto(reading, reader, regions(source), negative, photo["samples"], seed)
        return SourceAttention(source, photo["samples"], seed, Amount(strength, *window)), noised

    def stylize(patcher):
        return sample(patcher, regions(stylized), negative, start, seed=11, **sampling)["samples"]

    without = stylize(ready(model))
    for way in ways:
        ours, maps = {"capture": captured, "source attention": attended}[way](seed=5)
        dense = ready(tiny.make_model())
        DenseUNet(dense, stylized[0][0], source=maps, **replacement)
        expected, result = stylize(dense), stylize(ours.attach(model))
        effect = relative(expected, without)
        error = relative(result, expected)
        print(f"{way}: relative error {error:.1e}, effect of replacement {effect:.1e}")
        assert effect > 1e-3, "the test would not notice a missing replacement"
        assert error < 1e-4


def relative(a, b):
    return float((a - b).norm() / b.norm())


SAMPLERS = [
    ("ddim", "ddim_uniform"),
    ("euler", "normal"),
    ("heun", "normal"),
    ("dpmpp_2m", "karras"),
    ("euler_ancestral", "normal"),
    ("dpmpp_sde", "karras"),
]
GUIDANCE_AND_BATCH = [[(1.0, 1), (7.5, 3)], [(1.0, 3), (7.5, 1)]]
"""By turns: every sampler meets both of either, and every pair of them meets half of the samplers."""


@pytest.mark.parametrize(
    ("sampler", "scheduler", "cfg", "batch"),
    [(*sampler, *pair) for n, sampler in enumerate(SAMPLERS) for pair in GUIDANCE_AND_BATCH[n % 2]],
)
def test_every_sampler_guidance_and_batch(model, clip, sampler, scheduler, cfg, batch):
    check(model, clip, shape=(batch, 4, 8, 8), sampler=sampler, scheduler=scheduler, cfg=cfg)


@pytest.mark.parametrize(
    ("backend", "separate"), [("basic", False), ("sub_quad", True), ("split", True), ("pytorch", False)]
)
def test_every_attention_backend_that_a_cpu_has(model, clip, monkeypatch, backend, separate):
    calls = []

    def counted(*args, **kwargs):
        calls.append(backend)
        return getattr(attention, f"attention_{backend}")(*args, **kwargs)

    monkeypatch.setattr(attention, "optimized_attention", counted)
    check(model, clip, separate=separate, ways=["capture"])
    assert calls


@pytest.mark.parametrize(("positive_chunks", "negative_chunks"), [(1, 2), (3, 1), (3, 2), (3, 3)])
def test_prompts_of_several_chunks(model, clip, positive_chunks, negative_chunks):
    prompts = Prompts() if positive_chunks == 1 else Prompts(subject=LONG)
    negative = "blurry " * {1: 1, 2: 100, 3: 200}[negative_chunks]
    assert len(clip.tokenize(negative)["l"]) == negative_chunks
    assert len(clip.tokenize(prompts.stylized)["l"]) == positive_chunks
    check(model, clip, prompts, negative=negative)


@pytest.mark.parametrize(("style_repeats", "content_repeats"), [(1, 3), (2, 1), (3, 2)])
def test_repeats(model, clip, style_repeats, content_repeats):
    check(model, clip, Prompts(style_repeats=style_repeats, content_repeats=content_repeats), ways=["capture"])


def test_identifiers_of_any_length(model, clip):
    check(
        model,
        clip,
        ways=["capture"],
        prompts=Prompts("qzxv", "lumorph", "xkcdq77z", "b", negator="without", subject="oil painting"),
    )


def test_phrase_across_a_chunk_border(model, clip):
    prompts = Prompts(style_repeats=8, content_repeats=6)
    positions = encode_prompts(clip, prompts)[0][0][1]["styo_content"].positions
    assert min(positions) < 76 < 77 < max(positions)
    check(model, clip, prompts)


def test_without_negator(model, clip):
    check(model, clip, Prompts(negator=""))


def test_cond_and_uncond_in_separate_calls(model, clip):
    check(model, clip, negative="blurry " * 100, separate=True)


def test_style_repeats_changed_between_the_passes(model, clip):
    check(model, clip, Prompts(style_repeats=1), Prompts(style_repeats=3))


@pytest.mark.parametrize("shape", [(1, 4, 6, 12), (2, 4, 10, 6)])
def test_latents_that_are_not_square(model, clip, shape):
    check(model, clip, shape=shape)


@pytest.mark.parametrize("strength", [0.5, 0.25])
def test_strength_mixes_the_maps(model, clip, strength):
    check(model, clip, strength=strength)


@pytest.mark.parametrize("window", [(0.0, 0.4), (0.3, 1.0), (0.2, 0.7)])
def test_window(model, clip, window):
    check(model, clip, window=window, steps=4)


def test_one_area(model, clip):
    def regions(conditioning):
        return node_helpers.conditioning_set_values(conditioning, {"area": (8, 4, 0, 4), "set_area_to_bounds": False})

    check(model, clip, regions=regions)


def test_two_areas(model, clip):
    def regions(conditioning):
        return [
            *node_helpers.conditioning_set_values(conditioning, {"area": (8, 4, 0, 0), "set_area_to_bounds": False}),
            *node_helpers.conditioning_set_values(conditioning, {"area": (8, 8, 0, 0), "set_area_to_bounds": False}),
        ]

    check(model, clip, regions=regions)


def test_mask(model, clip):
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 20:] = 1

    def regions(conditioning):
        return node_helpers.conditioning_set_values(
            conditioning, {"mask": mask, "set_area_to_bounds": False, "mask_strength": 0.8}
        )

    check(model, clip, regions=regions)


def test_timestep_range_of_the_conditioning(model, clip):
    def regions(conditioning):
        early, late = copy.copy(conditioning), copy.copy(conditioning)
        return [
            *node_helpers.conditioning_set_values(early, {"start_percent": 0.0, "end_percent": 0.5}),
            *node_helpers.conditioning_set_values(late, {"start_percent": 0.5, "end_percent": 1.0}),
        ]

    check(model, clip, regions=regions, steps=4)


def test_areas_among_the_negatives_duplicate_the_positive(model, clip):
    """ComfyUI then runs copies of the positive, alike in everything but their area."""
    negative = encode_text(clip, "blurry")
    left, right = (
        node_helpers.conditioning_set_values(negative, {"area": (8, 4, 0, x), "set_area_to_bounds": False})
        for x in (0, 4)
    )
    check(model, clip, negative=[*left, *right])


@pytest.mark.parametrize("sampler", ["dpm_2", "uni_pc", "lms", "dpmpp_2s_ancestral", "sa_solver_pece", "dpm_fast"])
def test_the_photo_is_read_at_every_evaluation_of_any_sampler(model, clip, sampler):
    check(model, clip, sampler=sampler, steps=4, ways=["source attention"])


def test_one_photo_serves_a_batch(model, clip):
    source, _, _, stylized = encode_prompts(clip, PAPER)
    negative = encode_text(clip, "")
    photo = photo_like((1, 4, 8, 8))["samples"]
    one = SourceAttention(source, photo, 3, Amount()).attach(model)
    start = {"samples": torch.zeros(3, 4, 8, 8)}
    batch = sample(one, stylized, negative, start)["samples"]
    reading, dense = tiny.make_model(), tiny.make_model()
    words = " ".join(word.text for word in PAPER.source_content_words)
    columns = content_positions(clip, PAPER.stylized, words)
    noised = NoisedPhoto(reading, DenseUNet(reading, source[0][0]), source, negative, photo, 3)
    DenseUNet(dense, stylized[0][0], source=noised, columns=columns, source_columns=columns)
    assert relative(batch, sample(dense, stylized, negative, start)["samples"]) < 1e-4
