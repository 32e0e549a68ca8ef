"""Registers the nodes with ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from . import attention, attention_preview, demo, inversion, prompts, training, weights


class StyOExtension(ComfyExtension):
    """Registers every node of the pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        groups = (prompts, training, weights, attention, attention_preview, inversion, demo)
        return [node for group in groups for node in group.NODES]
