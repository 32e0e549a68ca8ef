"""StyO Prompt Builder writes the paper's prompts, and StyO Encode Prompts knows which tokens are content."""

import pytest
import tiny
import torch
from dense_reference import content_positions
from safetensors.torch import save_file
from styo.bridge.prompt_encoding import CONTENT
from styo.nodes.prompts import StyOEncodePrompts, StyOPromptBuilder
from styo.styo_attention.content_tokens import align
from styo.training.prompts import Prompts

import nodes

pytestmark = pytest.mark.usefixtures("inference_mode")

DEFAULTS = {
    "source_style": "ak47",
    "target_style": "aug",
    "source_content": "sks",
    "target_content": "m4a1",
    "style_repeats": 3,
    "content_repeats": 1,
    "negator": "not",
    "subject": "portrait",
}


@pytest.fixture(scope="module")
def clip():
    return tiny.make_clip()


def build(**changes):
    return StyOPromptBuilder.execute(**{**DEFAULTS, **changes})


def spelled(clip, prompts, conditioning, text):
    """The words at the positions a conditioning is tagged with."""
    chunks = clip.tokenize(text)["l"]
    ids = [token for chunk in chunks for token, _ in chunk]
    vocabulary = clip.tokenizer.clip_l.inv_vocab
    return "".join(vocabulary[ids[p]] for p in conditioning[0][1][CONTENT].positions).replace("</w>", " ").strip()


def test_the_papers_prompts():
    _, source, target, auxiliary, stylized = build().args
    style = "ak47 not aug ak47 not aug ak47 not aug"
    other = "aug not ak47 aug not ak47 aug not ak47"
    assert source == f"a drawing with {style} style of sks not m4a1 portrait"
    assert target == f"a drawing with {other} style of m4a1 not sks portrait"
    assert auxiliary == f"a drawing with {style} style of portrait"
    assert stylized == f"a drawing with {other} style of sks not m4a1 portrait"


def test_repeats_negator_and_subject():
    stylized = build(style_repeats=1, content_repeats=2, negator="without", subject="oil painting")[4]
    assert stylized == "a drawing with aug without ak47 style of sks without m4a1 sks without m4a1 oil painting"


def test_an_empty_negator_gives_positive_prompts():
    _, source, target, _, stylized = build(negator="  ").args
    assert source == "a drawing with ak47 ak47 ak47 style of sks portrait"
    assert target == "a drawing with aug aug aug style of m4a1 portrait"
    assert stylized == "a drawing with aug aug aug style of sks portrait"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_style": " "}, "source_style is empty"),
        ({"target_content": ""}, "target_content is empty"),
        ({"source_content": "AUG"}, "source_content and target_style are both 'AUG'"),
        ({"target_style": "(aug:1.2)"}, "target_style is '(aug:1.2)', but '(' is prompt syntax"),
        ({"source_style": "embedding:face"}, "source_style is 'embedding:face', but 'embedding:' is prompt syntax"),
        ({"source_style": "{a|b}"}, "source_style is '{a|b}', but '{' is prompt syntax"),
        ({"negator": "(not)"}, "negator is '(not)', but '(' is prompt syntax"),
        ({"subject": ""}, "subject is empty"),
        ({"style_repeats": 0}, "style_repeats is 0: it must be a whole number from 1 to 8"),
        ({"content_repeats": 9}, "content_repeats is 9: it must be a whole number from 1 to 8"),
    ],
)
def test_bad_settings_name_their_field(changes, message):
    with pytest.raises(ValueError) as error:
        build(**changes)
    assert message in str(error.value)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(),
        Prompts(style_repeats=1, content_repeats=3),
        Prompts(style_repeats=8, content_repeats=8),
        Prompts("qzxv", "lumorph", "xkcdq77z", "b", negator="except", subject="oil painting of a face"),
        Prompts(negator=""),
        Prompts(subject="portrait " + "of somebody in a long dress " * 25),
    ],
    ids=["paper", "n_c 3", "across chunks", "other words", "no negator", "three chunks"],
)
def test_content_tokens_are_the_content_words(clip, prompts):
    conditionings = StyOEncodePrompts.execute(clip, prompts).args
    words = [" ".join(word.text for word in prompts.source_content_words)] * 4
    words[1] = " ".join(word.text for word in prompts.target_content_words)
    words[2] = prompts.subject
    texts = [prompts.source, prompts.target, prompts.auxiliary, prompts.stylized]
    for conditioning, text, content in zip(conditionings, texts, words, strict=True):
        assert list(conditioning[0][1][CONTENT].positions) == content_positions(clip, text, content)
        assert spelled(clip, prompts, conditioning, text).replace(" ", "") == content.replace(" ", "")


def test_the_negator_inside_the_style_group_is_not_content(clip):
    conditioning = StyOEncodePrompts.execute(clip, Prompts())[0]
    assert spelled(clip, Prompts(), conditioning, Prompts().source) == "sks not m 4 a 1 portrait"


def test_same_tensors_as_clip_text_encode(clip):
    prompts = Prompts(style_repeats=8, content_repeats=8)
    encoded = StyOEncodePrompts.execute(clip, prompts).args
    for conditioning, text in zip(
        encoded, [prompts.source, prompts.target, prompts.auxiliary, prompts.stylized], strict=True
    ):
        expected = nodes.CLIPTextEncode().encode(clip, text)[0]
        assert torch.equal(conditioning[0][0], expected[0][0])
        assert set(expected[0][1]) | {CONTENT} == set(conditioning[0][1])


def test_a_textual_inversion_elsewhere_shifts_nothing_wrongly(tmp_path):
    """An embedding takes one position a vector; one of the wrong width is dropped, which moves what follows."""
    save_file({"emb_params": torch.randn(3, tiny.WIDTH)}, tmp_path / "good.safetensors")
    save_file({"emb_params": torch.randn(2, 768)}, tmp_path / "wide.safetensors")
    clip = tiny.make_clip(embedding_directory=[str(tmp_path)])
    plain = StyOEncodePrompts.execute(clip, Prompts(subject="portrait"))[0][0][1][CONTENT].positions

    good = Prompts(subject="portrait, embedding:good smiling")
    tokens = StyOEncodePrompts.execute(clip, good)[0][0][1][CONTENT]
    assert tokens.positions == (*plain, *range(plain[-1] + 1, plain[-1] + 6))

    wide = Prompts(subject="portrait, embedding:wide smiling")
    conditioning = StyOEncodePrompts.execute(clip, wide)[0]
    positions = conditioning[0][1][CONTENT].positions
    assert positions == (*plain, plain[-1] + 1, plain[-1] + 2)
    smiling = clip.tokenizer.clip_l.tokenizer("smiling")["input_ids"][1]
    embedded, _, _, _ = clip.cond_stage_model.clip_l.process_tokens(
        [[token for token, _ in clip.tokenize(wide.source)["l"][0]]], "cpu"
    )
    expected = clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight[smiling]
    torch.testing.assert_close(embedded[0, positions[-1]], expected.float())


def test_identifiers_that_are_the_same_tokens_are_refused(clip):
    with pytest.raises(
        ValueError, match=r"source_content and source_style are different words but the same tokens \(ak"
    ):
        StyOEncodePrompts.execute(clip, Prompts(source_style="ak 47", source_content="ak47"))


def test_content_that_cannot_be_found_shows_both_token_lists(clip, monkeypatch):
    monkeypatch.setattr(Prompts, "stylized", property(lambda self: "a drawing of somebody else"))
    with pytest.raises(ValueError) as error:
        StyOEncodePrompts.execute(clip, Prompts())
    assert "'sks not m4a1 portrait' was not found" in str(error.value)
    assert "sks</w> not</w> m</w> 4</w> a</w> 1</w> portrait</w>" in str(error.value)
    assert "a</w> drawing</w> of</w> somebody</w> else</w>" in str(error.value)


def test_settings_survive_a_round_trip():
    prompts = Prompts("one", "two", "three", "four", 2, 3, "", "dog")
    assert Prompts.from_settings(prompts.settings()) == prompts


def test_alignment_pairs_tokens_by_what_they_are(clip):
    few = StyOEncodePrompts.execute(clip, Prompts(style_repeats=1))[0][0][1][CONTENT]
    many = StyOEncodePrompts.execute(clip, Prompts(style_repeats=3, content_repeats=2))[3][0][1][CONTENT]
    own, theirs = align(many, few)
    assert theirs == [0, 1, 2, 3, 4, 5, 6]
    assert own == [*many.positions[:6], many.positions[-1]]
