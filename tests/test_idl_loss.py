"""The parts of equation 4: noise as ComfyUI adds it, prompts of different lengths, images, draws."""

import pytest
import torch
from idl_runs import picture
from styo.bridge.conditioning import TextEmbedding, unet_inputs
from styo.bridge.unet_copy import copy_unet, eps_theta, noise_weights
from styo.training.data import draw, to_square
from styo.training.losses import add_noise, triple_reconstruction_loss
from tiny import WIDTH, make_model


def test_noise_is_added_as_comfyui_adds_it():
    sampling = make_model().get_model_object("model_sampling")
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn((2, 5, 4, 8, 8), generator=generator)
    t = torch.tensor([0, 1, 500, 998, 999])
    sigma = sampling.sigmas[t]
    expected = sampling.calculate_input(sigma, sampling.noise_scaling(sigma, eps.clone(), z))
    torch.testing.assert_close(add_noise(z, eps, sigma), expected)
    assert torch.equal(sampling.timestep(sigma), t)


def test_repeated_contexts_change_no_prediction():
    generator = torch.Generator().manual_seed(0)
    contexts = [torch.randn((1, 77 * chunks, WIDTH), generator=generator) for chunks in (1, 2, 3)]
    z_t = torch.randn((3, 4, 8, 8), generator=generator)
    t = torch.tensor([10, 500, 900])
    model = make_model()
    predict = eps_theta(copy_unet(model), noise_weights(model), torch.float32)
    texts = [TextEmbedding(context, context[:, 0]) for context in contexts]
    stacked = unet_inputs(model, texts, z_t[:1], torch.device("cpu"))["context"]
    assert stacked.shape == (3, 77 * 6, WIDTH)
    with torch.no_grad():
        together = predict(z_t, t, {"context": stacked})
        alone = torch.cat([predict(z_t[i : i + 1], t[i : i + 1], {"context": contexts[i]}) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_each_term_weighs_the_same():
    sigmas = torch.linspace(0.03, 14, 1000)
    z, eps = torch.zeros((3, 4, 8, 8)), torch.zeros((3, 4, 8, 8))
    for term in range(3):
        wrong = torch.zeros((3, 4, 8, 8))
        wrong[term] = 2.0
        losses = triple_reconstruction_loss(lambda *_, w=wrong: w, z, torch.tensor([0, 1, 2]), eps, {}, sigmas)
        assert losses.tolist() == [4.0 if term == own else 0.0 for own in range(3)]


def test_draws_take_every_image_every_timestep_and_unit_noise():
    latents = [
        torch.full((count, 4, 2, 2), float(term)) + torch.arange(count).view(-1, 1, 1, 1) / 10
        for term, count in enumerate((1, 3, 5))
    ]
    generator = torch.Generator().manual_seed(0)
    draws = [draw(latents, 20, generator) for _ in range(400)]
    seen = [{round(float(sample.z[term, 0, 0, 0]), 1) for sample in draws} for term in range(3)]
    assert [len(values) for values in seen] == [1, 3, 5]
    assert {int(t) for sample in draws for t in sample.t} == set(range(20))
    eps = torch.stack([sample.eps for sample in draws])
    assert abs(float(eps.mean())) < 0.02
    assert float(eps.std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("height, width", [(64, 64), (90, 64), (64, 201), (33, 500), (1000, 30)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_image_becomes_a_square(height, width, channels):
    square = to_square(picture(0, height, width, channels)[0], 64)
    assert square.shape == (64, 64, 3)
    assert 0 <= float(square.min()) <= float(square.max()) <= 1


def test_the_middle_is_kept_and_transparency_is_white():
    image = torch.zeros((64, 192, 4))
    image[:, 64:128, 0] = 1.0
    image[:, :, 3] = 1.0
    image[:32, :, 3] = 0.0
    square = to_square(image, 64)
    assert torch.equal(square[40, 32], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(square[10, 32], torch.ones(3))


def test_an_image_of_the_right_size_is_not_touched():
    image = picture(0)[0]
    assert torch.equal(to_square(image, 64), image)


@pytest.mark.parametrize("height, width", [(1, 300), (300, 1), (3, 100), (2, 301)])
def test_a_strip_is_cropped_before_it_is_scaled(monkeypatch, height, width):
    image, sizes = picture(0, height, width)[0], []
    interpolate = torch.nn.functional.interpolate
    whole, scale = image.movedim(-1, 0)[None], 64 / min(height, width)
    expected = interpolate(whole, scale_factor=scale, mode="bicubic", antialias=True)
    top, left = ((side - 64) // 2 for side in expected.shape[2:])
    expected = expected[0, :, top : top + 64, left : left + 64].movedim(0, -1).clamp(0, 1)

    def watched(pixels, size, **options):
        sizes.append(size)
        return interpolate(pixels, size, **options)

    monkeypatch.setattr(torch.nn.functional, "interpolate", watched)
    torch.testing.assert_close(to_square(image, 64), expected, rtol=0, atol=2e-2)
    assert max(sizes[0]) < 10 * 64


def test_copies_block_except_on_cuda(monkeypatch):
    """On MPS, copies that do not block read memory that may be gone by then; a CPU cannot show the copy itself."""
    blocking, to = [], torch.Tensor.to

    def watched(tensor, *args, non_blocking=False, **options):
        blocking.append(not non_blocking)
        return to(tensor, *args, **options)

    monkeypatch.setattr(torch.Tensor, "to", watched)
    draw([torch.zeros((1, 4, 8, 8), device="meta")], 10, torch.Generator())
    assert blocking
    assert all(blocking)
