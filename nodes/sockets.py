"""The one socket type of the pack's own; every other socket is ComfyUI's."""

from comfy_api.latest import io

from ..training.prompts import Prompts


@io.comfytype(io_type="STYO_PROMPTS")
class StyOPrompts(io.ComfyTypeIO):
    """The four contrastive prompts and the identifiers they are made of."""

    Type = Prompts
