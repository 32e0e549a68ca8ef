"""One module knows the families of models; what is of none, or of two, is told so in one sentence."""

import re
from pathlib import Path

import comfy.model_base
import comfy.supported_models
import pytest
import tiny
import torch
from comfy_extras.nodes_model_advanced import ModelSamplingContinuousEDM, ModelSamplingDiscrete, RescaleCFG
from idl_runs import files, run
from passes import capture, empty_latent, inject
from styo.bridge.model_kind import family_of, native_resolution, prediction_of, require_match
from styo.nodes.inversion import StyOInvertSource
from styo.nodes.prompts import StyOEncodePrompts
from styo.training.prompts import Prompts

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "StyO needs a text-to-image model of Stable Diffusion 1.x, Stable Diffusion 2.x or Stable Diffusion XL; `model` "
)
FAMILY_NAMES = re.compile(r"SD15|SD20|SD2\b|SDXL|Stable Diffusion (\d|XL)|clip_[lgh]\b|[\"'][lgh][\"']")
FAMILY_OF_LAYOUT = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    **dict.fromkeys(("sdxl", "ssd1b", "vega", "koala"), "Stable Diffusion XL"),
}


@pytest.fixture(scope="module")
def models():
    return {layout: tiny.make_model(layout=layout) for layout in tiny.LAYOUTS}


@pytest.fixture(scope="module")
def clips():
    return {family: tiny.make_clip(family=family) for family in tiny.ENCODERS}


def refused(what):
    with pytest.raises(ValueError) as error:
        what()
    text = str(error.value)
    print(text)
    assert "\n" not in text and len(text) < 300 and text.endswith(".")
    return text


def test_every_layout_is_of_its_family(models):
    assert {layout: family_of(model).name for layout, model in models.items()} == FAMILY_OF_LAYOUT


def other_config(model, name, **unet_config):
    config = getattr(comfy.supported_models, name)({**model.model.model_config.unet_config, **unet_config})
    model.model.model_config = config


def unclip(model):
    other_config(model, "SD21UnclipL")
    model.model.__class__ = comfy.model_base.SD21UNCLIP


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: other_config(model, "Flux", in_channels=16), "is of another kind (Flux)."),
        (lambda model: other_config(model, "SDXLRefiner"), "is of another kind (SDXLRefiner)."),
        (lambda model: other_config(model, "SD3", in_channels=16), "is of another kind (SD3)."),
        (unclip, "is of another kind (SD21UnclipL)."),
        (
            lambda model: other_config(model, "SDXL", in_channels=9),
            "takes 9 latent channels, as inpainting and instruct models do.",
        ),
        (
            lambda model: other_config(model, "SD15_instructpix2pix", in_channels=8),
            "takes 8 latent channels, as inpainting and instruct models do.",
        ),
    ],
    ids=["FLUX", "refiner", "SD3", "unclip", "inpainting", "instruct"],
)
def test_models_of_no_family_are_refused_by_every_node(output, change, said):
    model = tiny.make_model()
    change(model)
    asks = [
        lambda: capture(model, empty_latent()),
        lambda: inject(model, empty_latent()),
        lambda: StyOInvertSource.execute(model, [], empty_latent(), 1, "normal", 1),
        lambda: run(model=model),
    ]
    assert {refused(ask) for ask in asks} == {NEEDED + said}
    assert files(output, "**/*") == []


class RefinerClip:
    """The text encoder of SDXL's refiner: SDXL's tokenizer, but encoder g alone."""

    cond_stage_model = torch.nn.Module()

    def tokenize(self, _):
        return {"g": [], "l": []}


class OtherClip:
    """A text encoder with one more."""

    cond_stage_model = torch.nn.Module()

    def tokenize(self, _):
        return {"g": [], "l": [], "t5xxl": []}


@pytest.mark.parametrize(("clip", "said"), [(None, "is empty"), (RefinerClip(), "is Module"), (OtherClip(), "is Mod")])
def test_clips_of_no_family_are_refused(output, clip, said):
    for ask in (lambda: StyOEncodePrompts.execute(clip, Prompts()), lambda: run(clip=clip)):
        assert f"`clip` {said}" in refused(ask)


def test_model_and_clip_of_two_families_are_refused(output, models, clips):
    for layout, model in models.items():
        for family, clip in clips.items():
            if tiny.LAYOUTS[layout][0] == family:
                require_match(model, clip)
                continue
            assert refused(lambda model=model, clip=clip: require_match(model, clip)) == (
                f"`model` is {FAMILY_OF_LAYOUT[layout]}, `clip` is that of {FAMILY_OF_LAYOUT[family]}: connect both "
                "from one checkpoint."
            )
    refused(lambda: run(model=models["sdxl"], clip=clips["sd1"]))


def discrete(model, sampling, zsnr=False):
    return ModelSamplingDiscrete().patch(model, sampling, zsnr)[0]


@pytest.mark.parametrize(
    "patch",
    [
        lambda model: discrete(model, "lcm"),
        lambda model: discrete(model, "x0"),
        lambda model: discrete(model, "img_to_img"),
        lambda model: ModelSamplingContinuousEDM().patch(model, "v_prediction", 120.0, 0.002)[0],
        lambda model: ModelSamplingContinuousEDM().patch(model, "eps", 120.0, 0.002)[0],
        lambda model: ModelSamplingContinuousEDM().patch(model, "edm_playground_v2.5", 120.0, 0.002)[0],
    ],
    ids=["lcm", "x0", "img_to_img", "continuous v", "continuous eps", "EDM"],
)
def test_only_training_refuses_other_samplings(output, models, clips, patch):
    model = patch(models["sdxl"])
    said = refused(lambda: run(model=model, clip=clips["sdxl"]))
    assert said.startswith("StyO IDL Train needs a model that predicts noise or velocity at discrete timesteps")
    capture(model, empty_latent())


def test_what_is_predicted_is_the_patched_models(models):
    model = models["sd1"]
    assert prediction_of(model) == prediction_of(discrete(model, "eps")) == "epsilon"
    assert prediction_of(discrete(model, "v_prediction")) == prediction_of(discrete(model, "v_prediction", True)) == "v"
    assert prediction_of(RescaleCFG().patch(discrete(model, "v_prediction"), 0.7)[0]) == "v"
    assert prediction_of(discrete(model, "lcm")) is None
    assert prediction_of(tiny.make_model(layout="sdxl", prediction="V_PREDICTION")) == "v"


def test_each_models_own_resolution(models):
    own = {layout: native_resolution(model) for layout, model in models.items()}
    assert own == {"sd1": 512, "sd2": 512, "sdxl": 1024, "ssd1b": 1024, "vega": 1024, "koala": 1024}
    assert native_resolution(discrete(models["sd2"], "v_prediction")) == 768
    assert native_resolution(discrete(models["sdxl"], "lcm")) == 1024


def test_families_are_named_in_one_module_only():
    """A new family is one entry there: all else asks ComfyUI's objects."""
    code = [path for part in ("bridge", "training", "styo_attention") for path in (ROOT / part).glob("**/*.py")]
    naming = {}
    for path in code:
        lines = [line for line in path.read_text().splitlines() if FAMILY_NAMES.search(line.partition("#")[0])]
        if lines and path.name not in ("model_kind.py", "demo_model.py"):
            naming[path.name] = lines
    assert naming == {}
