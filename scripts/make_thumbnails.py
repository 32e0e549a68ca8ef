"""Make the templates' pictures: each template is run with the demo's model and portraits in place of a user's.

Words after the command choose templates by a part of their names; without one, all are made.
"""

import math
import sys
import tempfile
import textwrap
from pathlib import Path

import environment

SIDE, STRIP = 400, 133
MOST_PICTURES = 16
LABEL = "Drawn by the tiny demo model"
LOOKS = ("look at the photo", "look at the artwork")
GRID_STEPS = 40
"""Training steps of each of the grid's nine trainings."""

FACE_PROMPT = "a drawing with awk not aug awk not aug awk not aug style of portrait"
"""A face in soft colours, in the only words that the demo's model understands."""


def with_the_demos(prompt: dict, titles: dict[str, str], weights: str, own_faces: bool) -> dict:
    """A template's prompt with the demo's model, portraits and settings, and its faces but for ``own_faces``."""
    import templates
    from template_parts import FACES, NO_FACE_PROMPT

    choices = templates.DEMO_CHOICES
    slots = {templates.PHOTO: 0, templates.ARTWORK: 1}
    pictures = {id: slots[title] for id, title in titles.items() if title in slots}
    faces = None if own_faces else next((id for id, title in titles.items() if title == FACES), None)

    def relinked(value):
        if not isinstance(value, list):
            return value
        if value[0] in pictures:
            return ["portraits", pictures[value[0]]]
        return ["portraits", 2] if faces and value[0].startswith(f"{faces}:") else value

    changed = {"portraits": {"class_type": "StyODemoPortraits", "inputs": dict(templates.PORTRAITS)}}
    for id, node in prompt.items():
        kind, inputs = node["class_type"], {name: relinked(value) for name, value in node["inputs"].items()}
        inside = bool(faces) and id.startswith(f"{faces}:")
        match kind:
            case "CheckpointLoaderSimple":
                kind, inputs = "StyODemoModel", {}
            case "CLIPTextEncode" if inputs["text"] == NO_FACE_PROMPT:
                inputs["text"] = ""
            case "StyOPromptBuilder":
                inputs |= choices.prompts
            case "StyOIDLTrain":
                inputs |= {"steps": min(inputs["steps"], choices.steps), "resolution": choices.size, **choices.training}
                inputs["learning_rate"] = choices.learning_rate
            case "StyOLoadWeights":
                inputs["weights_name"] = weights
            case "StyOInvertSource":
                inputs["steps"] = choices.sampling_steps
            case "KSampler" | "KSamplerAdvanced" if not inside:
                guided = inputs["cfg"] != 1
                inputs |= {"steps": choices.sampling_steps, "cfg": choices.cfg if guided else 1.0}
            case "EmptyLatentImage" | "ImageScale":
                inputs |= {"width": choices.size, "height": choices.size}
            case "LoadImage":
                continue
        changed[id] = {"class_type": kind, "inputs": inputs}
    return changed


def sheet(name: str, shown: list, results: list):
    """Small pictures in a strip on the left, a square of results beside it, and what drew them below."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (SIDE, SIDE), (24, 26, 34))
    for row, picture in enumerate(shown[:3]):
        canvas.paste(picture.resize((STRIP, STRIP), Image.Resampling.LANCZOS), (0, row * STRIP))
    room = SIDE - STRIP if shown else SIDE
    columns = math.isqrt(min(len(results), MOST_PICTURES))
    side = (room if shown else SIDE - 100) // columns
    left = SIDE - room if shown else (SIDE - columns * side) // 2
    for number, picture in enumerate(results[: columns**2]):
        at = (left + number % columns * side, number // columns * side)
        canvas.paste(picture.resize((side, side), Image.Resampling.LANCZOS), at)
    draw, x, y = ImageDraw.Draw(canvas), left + 10, SIDE - 95
    for line, size in ((name.partition(" (")[0], 15), (LABEL, 13)):
        for part in textwrap.wrap(line, 32 if shown else 48):
            draw.text((x, y), part, fill="white" if size > 13 else (255, 190, 90), font=ImageFont.load_default(size))
            y += size + 5
    return canvas


def preview(images: list) -> dict:
    """A node that shows what is linked."""
    return {"class_type": "PreviewImage", "inputs": {"images": images}}


def main():
    """Run every template that is asked for, and write its picture beside it."""
    import comfy_server
    import templates
    from PIL import Image
    from template_parts import FACES, GRID
    from workflow import Workflow

    wanted = [name for name in templates.NAMES if not sys.argv[1:] or any(word in name for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory(prefix="styo-thumbnails-") as folder, comfy_server.serve(Path(folder)) as server:
        info, weights = server.get("/object_info"), ""
        for name in wanted:
            workflow = Workflow.load(templates.path(name), info)
            titles = workflow.titles()
            if name == templates.REPEATS:
                workflow.set(GRID, training_steps=GRID_STEPS)
            if name == templates.OTHERS:
                workflow.set(FACES, batch_size=MOST_PICTURES, size=templates.DEMO_CHOICES.size, text=FACE_PROMPT)
            prompt = workflow.prompt()
            if name != templates.DEMO:
                prompt = with_the_demos(prompt, titles, weights, own_faces=name == templates.OTHERS)
            if name not in (templates.DEMO, templates.OTHERS):
                prompt |= {look: preview(["portraits", slot]) for slot, look in enumerate(LOOKS)}
            run = server.run(prompt)
            pictures = {title: server.pictures(run, id) for id, title in titles.items()}
            pictures |= {node: server.pictures(run, node) for node in LOOKS}
            strip = [pictures.get(name) for name in (*LOOKS, templates.SHOWN_PHOTO, templates.SHOWN_ARTWORK)]
            result = next(pictures[title] for title in templates.RESULTS if pictures.get(title))
            opened = [[Image.open(path).convert("RGB") for path in paths] for paths in (*filter(None, strip), result)]
            sheet(name, [few[0] for few in opened[:-1]][:2], opened[-1]).save(
                templates.path(name).with_suffix(".jpg"), quality=88
            )
            print(name, flush=True)
            saved = sorted(Path(folder, "output/loras/StyO").glob("*_00001_.safetensors"))
            weights = f"StyO/{saved[0].name}" if saved else weights


if __name__ == "__main__":
    environment.enter()
    main()
