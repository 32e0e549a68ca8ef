"""The pack in the real server: what it registers, how a graph is cached and ordered, and how errors are told."""

from urllib.parse import quote

import numpy as np
import pytest
import templates
from comfy_server import WorkflowError
from PIL import Image
from template_parts import EMPTY, SOURCE_PASS, WITH_FCC, WITHOUT_FCC
from templates import RESULT, SHOWN_SOURCE_PASS, SHOWN_WITHOUT_FCC

pytest_plugins = ["live_server"]

NODES = {
    "StyOPromptBuilder",
    "StyOIDLTrain",
    "StyOLoadWeights",
    "StyOEncodePrompts",
    "StyOAttentionCapture",
    "StyOAttentionInject",
    "StyOInvertSource",
    "StyODemoModel",
    "StyODemoPortraits",
}
INJECT = "StyO Attention Inject (FCC)"
PICTURES = (RESULT, SHOWN_SOURCE_PASS, SHOWN_WITHOUT_FCC)


def pictures(server, run, node):
    """The one picture that a node showed or saved."""
    (file,) = server.pictures(run, node)
    return np.asarray(Image.open(file))


def test_every_node_and_every_socket_is_described(object_info):
    ours = {node: info for node, info in object_info.items() if info["python_module"] == "custom_nodes.styo"}
    assert set(ours) >= NODES
    for node, info in ours.items():
        assert info["description"], node
        for name, spec in {**info["input"].get("required", {}), **info["input"].get("optional", {})}.items():
            assert spec[1].get("tooltip"), f"{node}.{name}"
        assert all(info["output_tooltips"]), node


def test_the_template_browser_shows_the_shipped_templates(server, object_info):
    """The files are what ``scripts/make_templates.py`` writes: change them there."""
    made = templates.templates(object_info)
    assert set(server.get("/workflow_templates")["styo"]) == set(made)
    for name, workflow in made.items():
        shipped = server.get(f"/api/workflow_templates/styo/{quote(name)}.json")
        assert shipped == workflow, "run scripts/make_templates.py"


@pytest.mark.parametrize(
    "word", ["face", "portrait", "style", "stylization", "cartoon", "photo", "artwork", "training"]
)
def test_a_template_is_found_by_what_people_type(server, word):
    assert any(word in name.lower() for name in server.get("/workflow_templates")["styo"])


def test_a_stylization_seed_leaves_the_source_pass_in_the_cache(server, example):
    example.set(SOURCE_PASS, seed=1)
    example.set(WITH_FCC, seed=1)
    server.run(example.prompt())
    example.set(WITH_FCC, seed=2)
    again = server.run(example.prompt())
    assert example.id(WITH_FCC) in again.executed
    assert not {example.id(SOURCE_PASS), example.id("StyOIDLTrain")} & set(again.executed)


def test_a_source_seed_runs_both_passes_again_but_not_the_training(server, example):
    example.set(SOURCE_PASS, seed=1)
    example.set(WITH_FCC, seed=1)
    server.run(example.prompt())
    example.set(SOURCE_PASS, seed=2)
    again = server.run(example.prompt())
    assert {example.id(SOURCE_PASS), example.id(WITH_FCC)} <= set(again.executed)
    assert example.id("StyOIDLTrain") not in again.executed


def with_copies(prompt, nodes):
    """The prompt with a copy of each of these nodes, linked among themselves as the originals are."""
    names = {node: f"copy of {node}" for node in nodes}

    def relinked(value):
        return [names.get(value[0], value[0]), value[1]] if isinstance(value, list) else value

    copies = {
        name: {**prompt[node], "inputs": {key: relinked(value) for key, value in prompt[node]["inputs"].items()}}
        for node, name in names.items()
    }
    return {**prompt, **copies}


def without(prompt, node):
    """The prompt less a node and all that needs it."""
    gone, left = {node}, prompt
    while gone:
        left = {name: part for name, part in left.items() if name not in gone}
        links = {name: [v[0] for v in part["inputs"].values() if isinstance(v, list)] for name, part in left.items()}
        gone = {name for name, needed in links.items() if not left.keys() >= set(needed)}
    return left


def test_two_samplers_on_one_capture_do_not_mix(server, example):
    """Each stylization takes the maps of the LATENT linked to it: as in a graph with that source pass alone."""
    example.set(SOURCE_PASS, seed=1)
    example.set(WITH_FCC, seed=1)
    alone = {}
    for seed in (1, 2):
        example.set(SOURCE_PASS, seed=seed)
        prompt = without(example.prompt(), example.id(WITHOUT_FCC))
        alone[seed] = pictures(server, server.run(prompt), example.id(RESULT))
    assert (alone[1] != alone[2]).any()

    source, result = example.id(SOURCE_PASS), example.id(RESULT)
    decode = prompt[result]["inputs"]["images"][0]
    both = with_copies(prompt, [source, example.id(INJECT), example.id(WITH_FCC), decode, result])
    both[f"copy of {source}"]["inputs"]["seed"] = 1
    run = server.run(both)
    np.testing.assert_array_equal(pictures(server, run, result), alone[2])
    np.testing.assert_array_equal(pictures(server, run, f"copy of {result}"), alone[1])


@pytest.mark.parametrize(("flags", "runs"), [(["--cache-none"], 1), (["--cache-lru", "1"], 2)])
def test_the_cache_does_not_change_the_pictures(server, start_server, example, flags, runs):
    """One that keeps nothing has nothing to bring into a second run."""
    reference = server.run(example.prompt())
    with start_server(*flags) as other:
        for _ in range(runs):
            run = other.run(example.prompt())
            for title in PICTURES:
                expected = pictures(server, reference, example.id(title))
                np.testing.assert_array_equal(pictures(other, run, example.id(title)), expected)


@pytest.mark.parametrize(
    ("title", "values", "message"),
    [
        ("StyOPromptBuilder", {"source_style": ""}, "source_style is empty"),
        ("StyOPromptBuilder", {"target_style": "AK47"}, "must differ"),
        ("StyOPromptBuilder", {"source_content": "(sks:1.2)"}, "prompt syntax"),
        ("StyOIDLTrain", {"filename_prefix": "../outside"}, "filename_prefix"),
        ("StyOIDLTrain", {"steps": 0}, "steps"),
        ("StyOIDLTrain", {"learning_rate": 1e9}, "learning_rate"),
    ],
)
def test_a_bad_input_is_told_in_one_sentence_and_the_next_run_works(server, example, title, values, message):
    good = {name: example.value(title, name) for name in values}
    example.set(title, **values)
    with pytest.raises(WorkflowError, match=message):
        server.run(example.prompt())
    example.set(title, **good)
    assert server.pictures(server.run(example.prompt()), example.id(RESULT))


def test_an_unlinked_source_pass_is_told_by_its_sockets(server, example):
    """Inject fed by a latent that no captured sampler made."""
    prompt = example.prompt()
    prompt[example.id(INJECT)]["inputs"]["source"] = [example.id(EMPTY), 0]
    with pytest.raises(WorkflowError, match="StyO Attention Capture"):
        server.run(prompt)
