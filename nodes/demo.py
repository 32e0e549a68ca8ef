"""StyO Demo Model and StyO Demo Portraits."""

import numpy as np
import torch
from comfy_api.latest import io

from ..demo.comfy_model import load_demo_model
from ..demo.held_out import IDENTITIES, TUNING_SEED
from ..demo.portraits import FAMILIES
from ..demo.triples import Triple, auxiliary_images
from ..training.settings import MAX_SEED

MAX_AUXILIARY = 500


class StyODemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyODemoModel",
            display_name="StyO Demo Model",
            category="StyO",
            description="A tiny Stable Diffusion 1.x that comes with the pack and knows drawn portraits of 128 x 128 "
            "pixels, to try StyO on StyO Demo Portraits without a download.",
            search_aliases=["demo", "example model", "tiny model", "cartoon", "face"],
            inputs=[],
            outputs=[
                io.Model.Output("model", tooltip="In place of a checkpoint's MODEL."),
                io.Clip.Output("clip", tooltip="In place of a checkpoint's CLIP."),
                io.Vae.Output("vae", tooltip="In place of a checkpoint's VAE."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_demo_model())


class StyODemoPortraits(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyODemoPortraits",
            display_name="StyO Demo Portraits",
            category="StyO",
            description="Draws a face photo, an artwork and other faces for StyO Demo Model, and what StyO should make "
            "of them. The demo model has never seen the two people.",
            search_aliases=["demo", "example images", "test images", "face", "portrait", "cartoon", "avatar"],
            inputs=[
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=False,
                    tooltip="Decides poses, light, details of the style, and the auxiliary faces.",
                ),
                io.Int.Input(
                    "source_identity",
                    default=0,
                    min=0,
                    max=IDENTITIES - 1,
                    tooltip="Number of the person in the face photo.",
                ),
                io.Int.Input(
                    "target_identity",
                    default=1,
                    min=0,
                    max=IDENTITIES - 1,
                    tooltip="Number of the person in the artwork.",
                ),
                io.Combo.Input(
                    "target_style",
                    options=list(FAMILIES),
                    default="chalk",
                    tooltip="How the artwork is drawn.",
                ),
                io.Int.Input(
                    "auxiliary_count",
                    default=50,
                    min=1,
                    max=MAX_AUXILIARY,
                    tooltip="How many photos of other faces. The paper takes 200.",
                ),
            ],
            outputs=[
                io.Image.Output("source_image", tooltip="The face photo."),
                io.Image.Output("target_image", tooltip="The artwork: another person in the style."),
                io.Image.Output("auxiliary_images", tooltip="Photos of other people."),
                io.Image.Output("ground_truth", tooltip="The right answer: the person of the photo in the style."),
            ],
        )

    @classmethod
    def execute(cls, seed, source_identity, target_identity, target_style, auxiliary_count) -> io.NodeOutput:
        triple = Triple.of(TUNING_SEED, source_identity, target_identity, target_style, seed)
        others = np.stack(list(auxiliary_images(auxiliary_count, TUNING_SEED, seed)))
        pictures = [triple.source_image[None], triple.target_image[None], others, triple.ground_truth[None]]
        return io.NodeOutput(*map(torch.from_numpy, pictures))


NODES = [StyODemoModel, StyODemoPortraits]
