"""The shipped templates: what stands where on the page of each."""

from __future__ import annotations

from pathlib import Path

import environment
import template_notes as notes
from graph_file import Graph, Node
from template_parts import BLUEPRINT, CHECKPOINT_FILE, Choices, enlarged, faces, grid, sampling_alone, stylization

FOLDER = environment.ROOT / "example_workflows"
BLUEPRINT_FILE = environment.ROOT / f"subgraphs/{BLUEPRINT}.json"
FULL = "Face stylization from one photo and one artwork (StyO)"
SMALL = "Face stylization in 8 GB, training with low VRAM (StyO)"
XL = "Face stylization with SDXL in 12 GB, LoRA training (StyO)"
DEMO = "Face stylization demo, cartoon portraits, no download (StyO)"
SAVED = "Portrait style transfer from saved weights, new seeds (StyO)"
INVERTED = "Face stylization from the inverted photo, DDIM inversion (StyO)"
ONE_SAMPLER = "Face stylization in one sampler, Source Attention (StyO)"
REPEATS = "Style against identity, grid of prompt repeats (StyO)"
OTHERS = "Portrait faces for training, drawn by the checkpoint (StyO)"

NAMES = (FULL, SMALL, XL, DEMO, SAVED, INVERTED, ONE_SAMPLER, REPEATS, OTHERS)
"""In the order in which they are of use."""

CHECKPOINT, PHOTO, ARTWORK = "Checkpoint", "Source: the face photo", "Target: the artwork"
RESULT = "Result: stylized with FCC"
SHOWN_SOURCE_PASS, SHOWN_WITHOUT_FCC = "Source pass: should be the photo", "For comparison: without FCC"
XL_FILE = "sd_xl_base_1.0.safetensors"
SHOWN_PHOTO, SHOWN_ARTWORK = "The photo", "The artwork"
SHOWN_GRID = "n_s 1, 2, 3 downwards; n_c 1, 2, 3 to the right"
SHOWN_FACES = "Other faces"
LOSS, TRUTH = "Loss", "Ground truth: the right answer"
RESULTS = (RESULT, SHOWN_GRID, SHOWN_FACES)
LARGE = 384
PORTRAITS = {"seed": 0, "source_identity": 40, "target_identity": 41, "target_style": "cel", "auxiliary_count": 50}
WEIGHTS_FILE = "StyO/idl_00001_.safetensors"
"""What the first run of the main template saves."""

DEMO_CHOICES = Choices(
    identifiers=("awk", "aug", "sks", "lun"),
    style_repeats=2,
    content_repeats=2,
    method="lora",
    steps=450,
    learning_rate=5e-4,
    training={
        "rank": 64,
        "precision": "fp32",
        "gradient_checkpointing": False,
        "preview_every": 75,
        "train_identifiers": True,
    },
    size=128,
    pictures=2,
    sampling_steps=20,
    cfg=2.0,
    prefix="loras/StyO/demo",
)


def loaded(page: Graph, file: str = CHECKPOINT_FILE) -> tuple[Node, dict]:
    """Load Checkpoint at the top left, and its three outputs by the names of our inputs."""
    node = page.add(
        "CheckpointLoaderSimple",
        (0, 0),
        (340, 110),
        CHECKPOINT,
        labels={"ckpt_name": "checkpoint"},
        ckpt_name=file,
    )
    return node, {"model": node["MODEL"], "clip": node["CLIP"], "vae": node["VAE"]}


def asked_for(page: Graph, choices: Choices) -> tuple[list[tuple[Node, str]], dict]:
    """Checkpoint, photo, artwork and faces on the left: what app mode asks for, and what the one node takes."""
    checkpoint, three = loaded(page, choices.checkpoint)
    photo = page.add("LoadImage", (0, 180), (340, 440), PHOTO, labels={"image": "face photo"}, image="example.png")
    artwork = page.add("LoadImage", (0, 690), (340, 440), ARTWORK, labels={"image": "artwork"}, image="example.png")
    others = page.place(faces(page, choices.faces, choices.size), (430, 0), (400, 240), **three)
    back = others["faces"].via((860, 285), (400, 285))
    pictures = {"photo": photo["IMAGE"], "artwork": artwork["IMAGE"], "faces": back}
    return [(photo, "image"), (artwork, "image"), (checkpoint, "ckpt_name")], {**three, **pictures}


def full(name: str, info: dict, choices: Choices, note: str) -> dict:
    """The whole of StyO in one node, on a checkpoint, with faces that it draws itself."""
    page = Graph(name, info)
    asked, given = asked_for(page, choices)
    styo = page.place(stylization(page, choices), (430, 345), (400, 785), **given)
    above, below = (890, -60), (890, 680)
    drawn = {"images": styo["picture"], "filename_prefix": "StyO/stylized"}
    result = page.add("SaveImage", (930, 0), (665, 620), RESULT, **drawn)
    shown = styo["photo"].via(above, (1615, -60))
    page.add("PreviewImage", (1635, 0), (665, 620), SHOWN_PHOTO, images=shown)
    page.add("MarkdownNote", (930, 730), (400, 400), "What to do", text=note)
    if not choices.one_sampler:
        source_pass = styo["source_pass"].via(below, (1350, 680))
        page.add("PreviewImage", (1370, 730), (320, 400), SHOWN_SOURCE_PASS, images=source_pass)
    without = styo["without_fcc"].via(below, (1705, 680))
    page.add("PreviewImage", (1720, 730), (290, 400), SHOWN_WITHOUT_FCC, images=without)
    page.add("LossGraphNode", (2040, 730), (260, 400), LOSS, loss=styo["loss"].via(below, (2025, 680)))
    return page.file(**app_mode([*asked, (styo, "seed"), (styo, "training_steps")], result))


def repeats(name: str, info: dict) -> dict:
    """Nine trainings, and their pictures in one."""
    page = Graph(name, info)
    asked, given = asked_for(page, Choices())
    nine = page.place(grid(page, Choices()), (430, 345), (400, 785), **given)
    page.add("MarkdownNote", (930, 0), (360, 400), "What to do", text=notes.REPEATS)
    above = nine["grid"].via((890, -60), (1310, -60))
    drawn = {"images": above, "filename_prefix": "StyO/grid"}
    result = page.add("SaveImage", (1330, 0), (1070, 1130), SHOWN_GRID, **drawn)
    return page.file(**app_mode([*asked, (nine, "seed"), (nine, "training_steps")], result))


def saved(name: str, info: dict) -> dict:
    """Saved weights, drawn again from other seeds."""
    page = Graph(name, info)
    checkpoint, three = loaded(page)
    photo = page.add("LoadImage", (0, 180), (340, 440), PHOTO, labels={"image": "face photo"}, image="example.png")
    weights = {"model": three["model"], "clip": three["clip"], "weights_name": WEIGHTS_FILE}
    trained = page.add("StyOLoadWeights", (430, 0), (340, 130), **weights)
    page.add("MarkdownNote", (0, 690), (770, 290), "What to do", text=notes.SAVED)
    given = {name: trained[name] for name in ("model", "clip", "prompts")}
    given |= {"vae": three["vae"].via((400, 200), (800, 200)), "photo": photo["IMAGE"].via((400, 240), (800, 240))}
    styo = page.place(sampling_alone(page, Choices(pictures=4)), (860, 0), (360, 350), **given)
    above = (1280, -60)
    drawn = {"images": styo["picture"], "filename_prefix": "StyO/stylized"}
    result = page.add("SaveImage", (1320, 0), (620, 680), RESULT, **drawn)
    page.add("PreviewImage", (1980, 0), (300, 340), SHOWN_PHOTO, images=styo["photo"].via(above, (1960, -60)))
    under = (1280, 720)
    source_pass = styo["source_pass"].via(under, (1960, 720), (1960, 400))
    page.add("PreviewImage", (1980, 400), (300, 340), SHOWN_SOURCE_PASS, images=source_pass)
    asked = [(photo, "image"), (checkpoint, "ckpt_name"), (trained, "weights_name"), (styo, "seed")]
    return page.file(**app_mode([*asked, (styo, "pictures")], result))


def others(name: str, info: dict) -> dict:
    """Faces to look through before they are trained on."""
    page = Graph(name, info)
    checkpoint, three = loaded(page)
    drawn = page.place(faces(page, 32, 512), (430, 0), (400, 300), **three)
    page.add("MarkdownNote", (0, 380), (830, 320), "What to do", text=notes.OTHERS)
    given = {"images": drawn["faces"], "filename_prefix": "StyO/faces/face"}
    result = page.add("SaveImage", (920, 0), (900, 700), SHOWN_FACES, **given)
    return page.file(**app_mode([(checkpoint, "ckpt_name"), (drawn, "text"), (drawn, "batch_size")], result))


def demo(name: str, info: dict, choices: Choices, note: str) -> dict:
    """The whole of StyO in one node, on the model and the portraits that come with the pack."""
    page = Graph(name, info)
    loaded = page.add("StyODemoModel", (0, 0), (340, 90))
    drawn = page.add("StyODemoPortraits", (0, 160), (340, 210), **PORTRAITS)
    page.add("MarkdownNote", (0, 440), (340, 730), "What to do", text=note)
    three = {name: loaded[name] for name in ("model", "clip", "vae")}
    pictures = {"photo": drawn["source_image"], "artwork": drawn["target_image"], "faces": drawn["auxiliary_images"]}
    styo = page.place(stylization(page, choices), (430, 0), (370, 740), **three, **pictures)
    page.add("LossGraphNode", (430, 860), (370, 310), LOSS, loss=styo["loss"].via((825, 795), (405, 795)))
    names = ("picture", "photo", "truth", "without_fcc", "artwork", "source_pass")
    made = {name: styo[name] for name in ("picture", "photo", "without_fcc", "source_pass")}
    made["truth"] = drawn["ground_truth"].via((390, -60), (845, -60))
    made["artwork"] = drawn["target_image"].via((390, 810), (845, 810))
    large = page.place(enlarged(page, names, LARGE), (880, 0), (190, 160), **made)
    above, below = (1100, -60), (1100, 410)
    two, one, second, third, row, height = 590, 290, 1770, 2090, 470, 340
    drawings = {"images": large["picture"], "filename_prefix": "StyO/demo"}
    result = page.add("SaveImage", (1150, 0), (two, height), RESULT, **drawings)
    photo = large["photo"].via(above, (second - 15, -60))
    page.add("PreviewImage", (second, 0), (one, height), SHOWN_PHOTO, images=photo)
    truth = large["truth"].via(above, (third - 15, -60))
    page.add("PreviewImage", (third, 0), (one, height), TRUTH, images=truth)
    page.add("PreviewImage", (1150, row), (two, height), SHOWN_WITHOUT_FCC, images=large["without_fcc"])
    artwork = large["artwork"].via(below, (second - 15, 410))
    page.add("PreviewImage", (second, row), (one, height), SHOWN_ARTWORK, images=artwork)
    source_pass = large["source_pass"].via(below, (third - 15, 410))
    page.add("PreviewImage", (third, row), (one, height), SHOWN_SOURCE_PASS, images=source_pass)
    return page.file(**app_mode([(drawn, "source_identity"), (drawn, "target_style"), (styo, "seed")], result))


def blueprint(info: dict) -> dict:
    """The whole of StyO as one node, for the page's node library."""
    page = Graph(BLUEPRINT, info)
    page.place(stylization(page, Choices()), (0, 0), (400, 785))
    return page.file()


def path(name: str) -> Path:
    """The file of a template."""
    return FOLDER / f"{name}.json"


def app_mode(asked: list[tuple[Node, str]], shown: Node) -> dict:
    """What the page's app mode asks for and shows."""
    inputs = [[str(node.data["id"]), name] for node, name in asked]
    return {"linearData": {"inputs": inputs, "outputs": [str(shown.data["id"])]}, "linearMode": False}


def templates(info: dict) -> dict[str, dict]:
    """Every template by its name, from the server's descriptions of the nodes."""
    small = Choices(optimizer="adafactor")
    return {
        FULL: full(FULL, info, Choices(), notes.FULL),
        XL: full(XL, info, Choices(method="lora", checkpoint=XL_FILE, size=1024, faces=16), notes.XL),
        SMALL: full(SMALL, info, small, notes.SMALL),
        DEMO: demo(DEMO, info, DEMO_CHOICES, notes.DEMO),
        SAVED: saved(SAVED, info),
        INVERTED: full(INVERTED, info, Choices(inverted=True), notes.INVERTED),
        ONE_SAMPLER: full(ONE_SAMPLER, info, Choices(one_sampler=True), notes.ONE_SAMPLER),
        REPEATS: repeats(REPEATS, info),
        OTHERS: others(OTHERS, info),
    }
