"""The subgraphs of the templates: the whole of StyO as one node, its sampling alone, and faces from the checkpoint."""

from __future__ import annotations

import dataclasses

from graph_file import Graph, Node, Output, Subgraph

BLUEPRINT = "Face stylization (StyO)"
SAMPLING = "Sampling with FCC (StyO)"
GRID = "Grid of style and content repeats (StyO)"
FACES = "Faces drawn by the checkpoint"
ENLARGED = "Enlarged to look at"
SOURCE_PASS, WITH_FCC, WITHOUT_FCC = "Source pass", "Stylized, with FCC", "Stylized, without FCC"
INJECT = "StyO Attention Inject (FCC)"
EMPTY = "The drawing's empty latent"
SQUARE = {"upscale_method": "lanczos", "crop": "center"}
FACE_PROMPT = "portrait photo of a person, face in the middle, looking at the camera, plain background"
NO_FACE_PROMPT = "drawing, painting, several people, hat, sunglasses, cropped, blurry"
CHECKPOINT_FILE = "v1-5-pruned-emaonly-fp16.safetensors"
"""The checkpoint of ComfyUI's own SD 1.5 templates."""
REPEATS = (1, 2, 3)
"""What the paper shows of n_s and n_c."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What a template sets; the defaults are the paper's."""

    identifiers: tuple[str, str, str, str] = ("ak47", "aug", "sks", "m4a1")
    style_repeats: int = 3
    content_repeats: int = 1
    method: str = "full"
    steps: int = 400
    learning_rate: float = 0.0
    optimizer: str = "adam"
    training: dict = dataclasses.field(default_factory=dict)
    size: int = 512
    pictures: int = 1
    sampling_steps: int = 50
    cfg: float = 7.5
    sampler: str = "ddim"
    scheduler: str = "ddim_uniform"
    inverted: bool = False
    one_sampler: bool = False
    prefix: str = "loras/StyO/idl"
    checkpoint: str = CHECKPOINT_FILE
    faces: int = 32

    @property
    def prompts(self) -> dict:
        """The identifiers, as StyO Prompt Builder calls them."""
        names = ("source_style", "target_style", "source_content", "target_content")
        return dict(zip(names, self.identifiers, strict=True))


@dataclasses.dataclass(frozen=True)
class Knobs:
    """The widgets of the sampling, outside."""

    seed: Output
    steps: Output
    cfg: Output
    strength: Output
    size: Output
    pictures: Output | None

    @classmethod
    def on(cls, inside: Subgraph, choices: Choices) -> Knobs:
        """Put them on a subgraph."""
        return cls(
            seed=inside.widget("seed", "INT", 0),
            pictures=None if choices.inverted else inside.widget("pictures", "INT", choices.pictures),
            steps=inside.widget("sampling_steps", "INT", choices.sampling_steps),
            cfg=inside.widget("cfg", "FLOAT", choices.cfg),
            strength=inside.widget("strength", "FLOAT", 1.0, "FCC strength"),
            size=inside.widget("size", "INT", choices.size),
        )


def stylization(page: Graph, choices: Choices) -> Subgraph:
    """Both stages: photo, artwork, faces and a checkpoint in; the picture, the passes beside it and the loss out.

    One seed is outside, that of the drawing: training and source pass keep theirs, so they are not run again.
    """
    inside = Subgraph(
        BLUEPRINT,
        page,
        "Draws the person of one face photo in the style of one artwork: trains the checkpoint on both (StyO's IDL), "
        "then samples with the photo's attention maps (FCC). Faces of other people are optional and improve it.",
    )
    checkpoint = {name: inside.input(name, name.upper()) for name in ("model", "clip", "vae")}
    photo, artwork = inside.input("photo", "IMAGE"), inside.input("artwork", "IMAGE")
    others = inside.input("faces", "IMAGE", optional=True)
    knobs = Knobs.on(inside, choices)
    training = {
        "method": inside.widget("method", "COMBO", choices.method),
        "steps": inside.widget("training_steps", "INT", choices.steps),
        "learning_rate": inside.widget("learning_rate", "FLOAT", choices.learning_rate),
        "optimizer": inside.widget("optimizer", "COMBO", choices.optimizer),
        "filename_prefix": inside.widget("filename_prefix", "STRING", choices.prefix),
        "resolution": knobs.size,
    }
    repeats = {
        name: inside.widget(name, "INT", getattr(choices, name)) for name in ("style_repeats", "content_repeats")
    }
    prompts = inside.add("StyOPromptBuilder", (0, 0), (290, 330), **repeats, **choices.prompts)["prompts"]
    # Before the training, whose resolution is an advanced input: Nodes 2.0 shows a widget as its first link has it.
    square = middle_square(inside, 780, knobs, photo)
    pictures = {"source_image": photo, "target_image": artwork, "auxiliary_images": others}
    given = {**checkpoint, "prompts": prompts, **pictures, **training, **choices.training}
    trained = inside.add("StyOIDLTrain", (360, 0), (340, 600), **given)
    inside.show(trained)
    sampling(inside, choices, knobs, 780, trained["model"], trained["clip"], checkpoint["vae"], prompts, square)
    inside.output("loss", trained["loss"])
    return inside


def sampling_alone(page: Graph, choices: Choices) -> Subgraph:
    """The second stage: what StyO Load Weights gives and the photo in, the picture and the passes beside it out."""
    inside = Subgraph(SAMPLING, page, "Draws with trained weights, with the photo's attention maps (StyO's FCC).")
    model, clip, vae = (inside.input(name, name.upper()) for name in ("model", "clip", "vae"))
    prompts, photo = inside.input("prompts", "STYO_PROMPTS"), inside.input("photo", "IMAGE")
    knobs = Knobs.on(inside, choices)
    sampling(inside, choices, knobs, 0, model, clip, vae, prompts, middle_square(inside, 0, knobs, photo))
    return inside


def middle_square(inside: Subgraph, x: int, knobs: Knobs, photo: Output) -> Output:
    """The middle of the photo, at the size of the drawing."""
    size = {"width": knobs.size, "height": knobs.size}
    return inside.add("ImageScale", (x, 410), (320, 170), "The photo's middle square", image=photo, **size, **SQUARE)[
        "IMAGE"
    ]


def sampling(
    inside: Subgraph,
    choices: Choices,
    knobs: Knobs,
    x: int,
    model: Output,
    clip: Output,
    vae: Output,
    prompts: Output,
    square: Output,
):
    """The source pass and both stylizations, from ``x`` on, with their outputs.

    The source pass starts from the noised photo, the stylization from noise of its own, as in the paper's figure;
    ``inverted``, both start from the noise that gives the photo back. ``one_sampler`` reads the photo while it draws.
    """
    size = {"width": knobs.size, "height": knobs.size}
    encoded = inside.add("StyOEncodePrompts", (x, 0), (320, 120), clip=clip, prompts=prompts)
    negative = inside.add("CLIPTextEncode", (x, 200), (320, 120), "Negative prompt (empty, as in the paper)", clip=clip)
    latent = inside.add("VAEEncode", (x, 660), (320, 60), "The photo's latent", pixels=square, vae=vae)
    both = {"negative": negative["CONDITIONING"], "steps": knobs.steps, "cfg": knobs.cfg}
    source, noise = latent["LATENT"], {}
    if choices.inverted:
        noise = {"model": model, "source": encoded["source"], "latent": source, "steps": knobs.steps}
        source = inside.add("StyOInvertSource", (x, 800), (320, 170), **noise, scheduler=choices.scheduler)["latent"]
        start, both["cfg"] = source, 1.0
    else:
        batch = {**size, "batch_size": knobs.pictures}
        start = inside.add("EmptyLatentImage", (x, 800), (320, 110), EMPTY, **batch)["LATENT"]

    given = {**both, "cfg": knobs.cfg, "positive": encoded["stylized"], "latent_image": start}
    shown = []
    if choices.one_sampler:
        read = {"model": model, "source": encoded["source"], "latent": source, "seed": 1, "strength": knobs.strength}
        injected = inside.add("StyOSourceAttention", (x + 400, 0), (320, 220), **read)
    else:
        captured = inside.add("StyOAttentionCapture", (x + 400, 0), (320, 70), model=model, latent=source)
        first = {**both, "model": captured["model"], "positive": encoded["source"], "latent_image": captured["latent"]}
        source_pass = sampler(inside, choices, (x + 400, 150), SOURCE_PASS, first, 1)
        maps = {"source": source_pass["LATENT"], "strength": knobs.strength}
        injected = inside.add("StyOAttentionInject", (x + 800, 0), (320, 130), INJECT, model=model, **maps)
        shown = [("source_pass", source_pass, 410)]
    with_fcc = sampler(inside, choices, (x + 800, 210), WITH_FCC, {**given, "model": injected["model"]}, knobs.seed)
    without = sampler(inside, choices, (x + 800, 620), WITHOUT_FCC, {**given, "model": model}, knobs.seed)
    for name, sampled, y in [("picture", with_fcc, 210), *shown, ("without_fcc", without, 620)]:
        decoded = inside.add("VAEDecode", (x + 1200, y), (240, 60), samples=sampled["LATENT"], vae=vae)
        inside.output(name, decoded["IMAGE"])
    inside.output("photo", square)


def sampler(
    inside: Subgraph, choices: Choices, at: tuple[int, int], title: str, given: dict, seed: int | Output
) -> Node:
    """A sampler that begins at full noise: its own, or the one it is given where the photo is inverted."""
    how = {"sampler_name": choices.sampler, "scheduler": choices.scheduler}
    if choices.inverted:
        return inside.add(
            "KSamplerAdvanced", at, (320, 330), title, add_noise="disable", noise_seed=seed, **given, **how
        )
    return inside.add("KSampler", at, (320, 310), title, seed=seed, **given, **how, denoise=1.0)


def faces(page: Graph, count: int, size: int) -> Subgraph:
    """Faces of other people, drawn by the checkpoint itself."""
    inside = Subgraph(
        FACES,
        page,
        "Draws portrait photos of many people with the checkpoint itself: auxiliary images for StyO IDL Train.",
    )
    model, clip, vae = (inside.input(name, name.upper()) for name in ("model", "clip", "vae"))
    text = inside.widget("text", "STRING", FACE_PROMPT, "prompt")
    batch = inside.widget("batch_size", "INT", count, "how many")
    side = inside.widget("size", "INT", size)
    seed = inside.widget("seed", "INT", 0)
    steps = inside.widget("sampling_steps", "INT", 25)
    wanted = inside.add("CLIPTextEncode", (0, 0), (380, 160), "What the faces are", clip=clip, text=text)
    unwanted = inside.add("CLIPTextEncode", (0, 240), (380, 120), "What they are not", clip=clip, text=NO_FACE_PROMPT)
    empty = inside.add("EmptyLatentImage", (0, 440), (380, 110), width=side, height=side, batch_size=batch)
    drawn = inside.add(
        *("KSampler", (460, 0), (320, 310), "Sampler of the faces"),
        **{"model": model, "positive": wanted["CONDITIONING"], "negative": unwanted["CONDITIONING"]},
        **{"latent_image": empty["LATENT"], "seed": seed, "steps": steps, "cfg": 6.0},
        **{"sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": 1.0},
    )
    decoded = inside.add("VAEDecode", (860, 0), (240, 60), samples=drawn["LATENT"], vae=vae)
    inside.show(drawn)
    inside.output("faces", decoded["IMAGE"])
    return inside


def enlarged(page: Graph, names: tuple[str, ...], side: int) -> Subgraph:
    """Small pictures enlarged to look at, since the page shows none larger than it is."""
    inside = Subgraph(ENLARGED, page, "The same pictures, larger.")
    how = {"upscale_method": "nearest-exact", "crop": "disabled", "width": side, "height": side}
    for row, name in enumerate(names):
        picture = inside.input(name, "IMAGE")
        inside.output(name, inside.add("ImageScale", (0, row * 240), (300, 170), name, image=picture, **how)["IMAGE"])
    return inside


def grid(page: Graph, choices: Choices) -> Subgraph:
    """The one node nine times, each with a training of its own: n_s grows downwards, n_c to the right."""
    one = stylization(page, choices)
    inside = Subgraph(
        GRID, page, "One picture for each n_s (downwards) and n_c (to the right), each trained by itself."
    )
    kinds = {"model": "MODEL", "clip": "CLIP", "vae": "VAE", "photo": "IMAGE", "artwork": "IMAGE"}
    given = {name: inside.input(name, kind) for name, kind in kinds.items()}
    given["faces"] = inside.input("faces", "IMAGE", optional=True)
    names = (
        "seed",
        "method",
        "optimizer",
        "training_steps",
        "learning_rate",
        "sampling_steps",
        "cfg",
        "strength",
        "size",
    )
    shared = [entry for entry in one.inputs if entry["name"] in names]
    given |= {e["name"]: inside.widget(e["name"], e["type"], e["default"], e.get("label")) for e in shared}
    rows = []
    for row, n_s in enumerate(REPEATS):
        line = None
        for column, n_c in enumerate(REPEATS):
            at, title = (column * 820, row * 700), f"n_s {n_s}, n_c {n_c}"
            repeats = {"style_repeats": n_s, "content_repeats": n_c, "filename_prefix": f"loras/StyO/{n_s}x{n_c}"}
            picture = inside.place(one, at, (340, 560), title, values={**given, **repeats})["picture"]
            line = picture if line is None else stitched(inside, (at[0] + 420, at[1]), line, picture, "right")
        rows.append(line)
    whole = rows[0]
    for row, line in enumerate(rows[1:], 1):
        whole = stitched(inside, (2500, row * 700), whole, line, "down")
    inside.output("grid", whole)
    return inside


def stitched(inside: Subgraph, at: tuple[int, int], first: Output, second: Output, direction: str) -> Output:
    """Two pictures side by side, or one below the other."""
    return inside.add("ImageStitch", at, (300, 130), image1=first, image2=second, direction=direction)["IMAGE"]
