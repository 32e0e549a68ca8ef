"""What the demo model knows: its words tell people and styles, and StyO on it comes near to the right answer.

All of it in styles that the model knows, on people it does not.
"""

import numpy as np
import pytest
import torch
from comfy.model_sampling import ModelSamplingDiscrete
from portrait_quality import reading
from portrait_quality.colour_transfer import transfer_colours
from portrait_quality.inside import columns_moved
from portrait_quality.metrics import pixel_error
from portrait_quality.passes import Parts, PortraitPasses, train
from portrait_quality.recipe import RECIPE
from portrait_quality.triples import Task
from styo.demo.held_out import PRETRAINING_FAMILIES, TUNING_SEED, identity
from styo.demo.portraits import Content, Pose, Style, render
from styo.demo.pretraining.captions import LENGTH, Captions
from styo.demo.pretraining.denoiser import Denoiser
from styo.demo.pretraining.layout import PARTS, Layout
from styo.demo.pretraining.text_encoder import TextEncoder
from styo.demo.shapes import CHANNELS, LATENT_CHANNELS, LATENT_SIDE
from styo.demo.triples import Triple
from styo.demo.weights import PATH, Weights
from styo.demo.words import CONTENT, STYLE
from styo.training.losses import add_noise

PEOPLE = 24
TIMESTEP = 800
"""Of 1000: little of the picture is left to see in the noise."""
LISTENS = 0.9
"""The model's loss under the right words, at most, as a share of that under wrong ones."""
MARGIN = 0.85
"""StyO's error, at most, as a share of the best of the others'."""
NEARER = 0.8
"""The landmarks' error with FCC, at most, as a share of that without."""
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def task():
    """What the demo shows: two people the model has never seen, one of them drawn as a cartoon, which it knows."""
    return Task("demo", Triple.of(TUNING_SEED, 40, 41, "cel", 0), TUNING_SEED, 0)


@pytest.fixture(scope="module")
def passes(task):
    """The passes of a trained StyO."""
    images = {
        "source_image": task.source,
        "target_image": task.target,
        "auxiliary_images": task.auxiliary(RECIPE.auxiliary_count),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return PortraitPasses(train(Parts.demo(), images, RECIPE), RECIPE)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def source(passes, task):
    """The source pass from the forward-diffused photo."""
    return passes.forward_diffused(task.source)


@pytest.fixture(scope="module")
def stylized(passes, source):
    """The portrait as StyO draws it, by seed; [seeds, 128, 128, 3]."""
    return np.stack([passes.parts.decode(passes.stylization(seed, source))[0].numpy() for seed in SEEDS])


@pytest.fixture(scope="module")
def without_fcc(passes):
    """The same by the stylized prompt alone."""
    return np.stack([passes.parts.decode(passes.stylization(seed))[0].numpy() for seed in SEEDS])


@pytest.fixture(scope="module")
def denoiser():
    """The shipped weights as their training sees them, and that training's captions."""
    captions, weights = Captions.make(), Weights.load(PATH)
    return Denoiser.of(weights, TextEncoder.of(weights, captions)), captions


@pytest.fixture(scope="module")
def portraits():
    """Latents and codes of people the model has never seen, in styles it knows."""
    rng = np.random.default_rng(0)
    people = [Content(identity(number, TUNING_SEED), Pose.sample(rng)) for number in range(PEOPLE)]
    styles = [Style.sample(rng, PRETRAINING_FAMILIES[n % len(PRETRAINING_FAMILIES)]) for n in range(PEOPLE)]
    pictures = torch.from_numpy(np.stack([render(person, style) for person, style in zip(people, styles, strict=True)]))
    codes = np.stack([np.concatenate([style.vector, who.vector]) for who, style in zip(people, styles, strict=True)])
    return Parts.demo().encode(pictures)["samples"], torch.from_numpy(codes)


@torch.no_grad()
def test_comfyuis_model_is_the_one_that_was_trained(denoiser):
    """The same v of the same input, so nothing about the UNet that ComfyUI decides by itself is another's."""
    (denoiser, _), model = denoiser, Parts.demo().model.model
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, LATENT_CHANNELS, LATENT_SIDE, LATENT_SIDE, generator=generator)
    context = torch.randn(2, LENGTH, CHANNELS, generator=generator)
    t = torch.tensor([TIMESTEP, TIMESTEP // 8])
    sigma = ModelSamplingDiscrete().sigmas[t][:, None, None, None]
    trained = denoiser.unet(x / (1 + sigma**2) ** 0.5, t.float(), context=context)
    denoised = x / (1 + sigma**2) - trained * sigma / (1 + sigma**2) ** 0.5
    found = model.apply_model(x, sigma.flatten(), c_crossattn=context)
    assert float(trained.std()) > 0.1
    torch.testing.assert_close(found, denoised, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("wrong", [CONTENT, STYLE], ids=["somebody else's content", "another style"])
@torch.no_grad()
def test_the_model_listens_to_its_words(denoiser, portraits, wrong):
    (denoiser, captions), (latents, codes) = denoiser, portraits
    sigma = ModelSamplingDiscrete().sigmas[TIMESTEP]
    kinds = torch.full((PEOPLE,), 1 + captions.auxiliary)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    swapped = codes.clone()
    swapped[:, wrong] = codes.roll(len(PRETRAINING_FAMILIES) // 2, 0)[:, wrong]

    def loss(codes):
        table = denoiser.encoder.words
        context = denoiser.encoder.context(captions.embed(kinds, codes, table, torch.Generator().manual_seed(0)))
        t, none = torch.full((PEOPLE,), TIMESTEP), torch.zeros(PEOPLE, dtype=torch.bool)
        columns = torch.zeros(PEOPLE, LENGTH, dtype=torch.bool)
        own = Layout(torch.zeros(PEOPLE, len(PARTS), LATENT_SIDE, LATENT_SIDE), columns, columns, none, none)
        v = (noise - sigma * latents) / (1 + sigma**2) ** 0.5
        return float((denoiser.velocity(add_noise(latents, noise, sigma), t, context, own) - v).square().mean())

    right, other = loss(codes), loss(swapped)
    print(f"loss under the right words {right:.4f}, under wrong ones {other:.4f}")
    assert right < LISTENS * other


@pytest.mark.parametrize("other", ["the source itself", "the target itself", "colour transfer"])
def test_styo_is_nearer_to_the_ground_truth_of_the_demo(task, stylized, other):
    source, target, truth = (image[0].numpy() for image in (task.source, task.target, task.ground_truth))
    others = {
        "the source itself": source,
        "the target itself": target,
        "colour transfer": transfer_colours(source, target),
    }
    ours, theirs = np.mean([pixel_error(picture, truth) for picture in stylized]), pixel_error(others[other], truth)
    print(f"error to the ground truth: StyO {ours:.3f}, {other} {theirs:.3f}")
    assert np.isfinite(stylized).all()
    assert ours < MARGIN * theirs


def test_fcc_brings_the_landmarks_nearer_to_the_photos(task, stylized, without_fcc):
    """What the paper's Figure 5 shows: pose and features of the photo, where the stylized prompt alone has its own."""
    reader, _ = reading.load()
    truth = reading.truth(task.triple.source, task.triple.style)
    on, off = (float(np.mean(reader.landmark_error(reader.read(found), truth))) for found in (stylized, without_fcc))
    print(f"landmarks are off by {on:.2f} pixels with FCC, by {off:.2f} without")
    assert on < NEARER * off


def test_what_fcc_replaces_is_measured_on_the_pass_without_it(passes, source):
    own = passes.captured_stylization(SEEDS[0])
    assert torch.equal(own["samples"], passes.stylization(SEEDS[0])["samples"])
    assert columns_moved(source, source) == 0
    assert columns_moved(source, own) > 0.01
