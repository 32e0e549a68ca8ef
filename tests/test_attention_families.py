"""FCC (section 3.3) on every layout of UNet, whatever it predicts, equals the dense float64 reference."""

import pytest
import tiny
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete
from dense_reference import DenseUNet, NoisedPhoto, content_positions, maps_of_pass
from passes import Graph, empty_latent, inject, photo, sample, source_attention
from safetensors.torch import save_file
from styo.bridge.capture import maps_of
from styo.bridge.prompt_encoding import CONTENT
from styo.nodes.prompts import StyOEncodePrompts
from styo.training.prompts import Prompts

import nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

LONG = Prompts(style_repeats=8, content_repeats=8)


@pytest.fixture(scope="module")
def clips():
    with torch.inference_mode():
        return {family: tiny.make_clip(family=family) for family in tiny.ENCODERS}


def relative(a, b):
    return float((a - b).norm() / b.norm())


WAYS = ("captured", "attended")


def check(graph, prompts=None, moved=0, ways=WAYS, **sampling):
    """The largest relative error of all ``ways`` to the maps, against the reference with its columns ``moved``."""
    prompts = prompts or Prompts()
    sampling = {"steps": 3, **sampling}
    words = " ".join(word.text for word in prompts.source_content_words)
    columns = content_positions(graph.clip, prompts.stylized, words)
    source_columns = content_positions(graph.clip, prompts.source, words)
    negative, started = graph.negative, photo()

    def stylize(model):
        return sample(model, graph.stylized, negative, empty_latent(), seed=11, **sampling)["samples"]

    def captured(twin, reader):
        sample(twin, graph.source, negative, started, **sampling)
        return inject(graph.model, graph.source_pass(latent=started, **sampling)), maps_of_pass(reader.maps)

    def attended(twin, reader):
        noised = NoisedPhoto(twin, reader, graph.source, negative, started["samples"], 3)
        return source_attention(graph.model, graph.source, started, seed=3), noised

    errors = []
    for way in ways:
        reading, dense = graph.model_again(), graph.model_again()
        ours, maps = {"captured": captured, "attended": attended}[way](reading, DenseUNet(reading, graph.source[0][0]))
        own = [column + moved for column in columns]
        DenseUNet(dense, graph.stylized[0][0], source=maps, columns=own, source_columns=source_columns)
        expected = stylize(dense)
        assert relative(expected, stylize(graph.model)) > 1e-3, "the test would not notice a missing replacement"
        errors.append(relative(stylize(ours), expected))
    print(", ".join(f"{error:.1e}" for error in errors))
    return max(errors)


class FamilyGraph(Graph):
    """`Graph` on a layout, with twins of its MODEL for the reference."""

    def __init__(self, layout, clip, prompts=None, velocity=None):
        self._layout, self._velocity = layout, velocity
        self.model, self.clip = self.model_again(), clip
        encoded = StyOEncodePrompts.execute(clip, prompts or Prompts()).args
        self.source, self.target, self.auxiliary, self.stylized = encoded
        self.negative = clip.encode_from_tokens_scheduled(clip.tokenize("blurry"))

    def model_again(self):
        model = tiny.make_model(layout=self._layout)
        return ModelSamplingDiscrete().patch(model, *self._velocity)[0] if self._velocity else model


@pytest.mark.parametrize("layout", ["sd2", "sdxl", "ssd1b", "vega", "koala"])
def test_every_layout(clips, layout):
    graph = FamilyGraph(layout, clips[tiny.LAYOUTS[layout][0]])
    error = check(graph)
    print(f"{layout}: relative error {error:.1e}")
    assert error < 1e-4


@pytest.mark.parametrize("layout", ["sd1", "sdxl", "koala"])
def test_a_column_beside_the_content_is_noticed(clips, layout):
    assert check(FamilyGraph(layout, clips[tiny.LAYOUTS[layout][0]]), moved=-1, ways=["captured"]) > 1e-3


@pytest.mark.parametrize(("layout", "zsnr"), [("sd2", False), ("sdxl", True)])
def test_velocity(clips, layout, zsnr):
    """Near sigma 4518 Euler's latents lose digits: dpmpp_2m keeps the comparison sharp."""
    graph = FamilyGraph(layout, clips[tiny.LAYOUTS[layout][0]], velocity=("v_prediction", zsnr))
    error = check(graph, sampler="dpmpp_2m", scheduler="karras")
    print(f"{layout}, v, zsnr {zsnr}: relative error {error:.1e}")
    assert error < 1e-3


def test_prompts_of_several_chunks(clips):
    error = check(FamilyGraph("sdxl", clips["sdxl"], LONG), LONG)
    print(f"sdxl, two chunks: relative error {error:.1e}")
    assert error < 1e-4


@pytest.mark.parametrize("layout", list(tiny.LAYOUTS))
def test_every_cross_attention_layer_is_captured(clips, layout):
    graph = FamilyGraph(layout, clips[tiny.LAYOUTS[layout][0]])
    maps = maps_of(graph.source_pass(steps=1))
    layers = sum(name.endswith("attn2") for name, _ in graph.model.model.diffusion_model.named_modules())
    assert len(list(maps.tensors)) == layers


@pytest.mark.parametrize("family", list(tiny.ENCODERS))
@pytest.mark.parametrize("prompts", [Prompts(), LONG], ids=["paper", "two chunks"])
def test_prompts_are_clip_text_encodes_and_know_their_content(clips, family, prompts):
    clip = clips[family]
    encoded = StyOEncodePrompts.execute(clip, prompts).args
    texts = [prompts.source, prompts.target, prompts.auxiliary, prompts.stylized]
    for conditioning, text in zip(encoded, texts, strict=True):
        (tokens, options), (expected, others) = conditioning[0], nodes.CLIPTextEncode().encode(clip, text)[0][0]
        assert torch.equal(tokens, expected)
        assert options.keys() == others.keys() | {CONTENT}
        assert torch.equal(options["pooled_output"], others["pooled_output"])
    words = " ".join(word.text for word in prompts.source_content_words)
    assert list(encoded[0][0][1][CONTENT].positions) == content_positions(clip, prompts.source, words)


def test_content_that_the_text_encoders_place_differently_is_refused(tmp_path):
    """A textual inversion for one encoder alone takes no position in the other."""
    both = {"clip_l": torch.randn(2, 48), "clip_g": torch.randn(2, 80)}
    save_file(both, tmp_path / "both.safetensors")
    save_file({"emb_params": both["clip_l"]}, tmp_path / "one.safetensors")
    clip = tiny.make_clip(family="sdxl", embedding_directory=[str(tmp_path)])
    tokens = StyOEncodePrompts.execute(clip, Prompts(subject="embedding:both portrait"))[0][0][1][CONTENT]
    assert len(tokens.positions) == 9
    with pytest.raises(
        ValueError, match=r"The text encoders of `clip` place the content part of .* differently"
    ) as error:
        StyOEncodePrompts.execute(clip, Prompts(subject="embedding:one portrait"))
    print(error.value)
