"""StyO Load Weights."""

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..bridge.weights_file import load_weights
from .sockets import StyOPrompts


class StyOLoadWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="StyOLoadWeights",
            display_name="StyO Load Weights",
            category="StyO",
            description="Loads what StyO IDL Train saved, together with the prompts it was trained with.",
            search_aliases=[
                "LoRA loader",
                "load trained style",
                "face stylization",
                "style transfer",
                "avatar",
                "cartoon",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model the weights were trained on."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Combo.Input(
                    "weights_name",
                    options=folder_paths.get_filename_list("loras"),
                    tooltip="A file that StyO IDL Train saved, by default in StyO/. Press R to see new files.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How much of what was learned is applied: 1 as trained, 0 not at all.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model", tooltip="The model with what was learned, for StyO Attention Capture and Inject."
                ),
                io.Clip.Output("clip", tooltip="The text encoder, with what was learned if it was trained."),
                StyOPrompts.Output("prompts", tooltip="The prompts of the training, for StyO Encode Prompts."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, weights_name, **_):
        status = _path(weights_name).stat()
        return status.st_size, status.st_mtime_ns

    @classmethod
    def execute(cls, model, clip, weights_name, strength) -> io.NodeOutput:
        return io.NodeOutput(*load_weights(_path(weights_name), model, clip, strength))


def _path(weights_name: str) -> Path:
    path = folder_paths.get_full_path("loras", weights_name)
    if path is None:
        raise ValueError(f"weights_name: there is no file {weights_name} in the loras folders.")
    return Path(path)


NODES = [StyOLoadWeights]
