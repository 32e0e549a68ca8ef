"""Registers the nodes with ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from . import attention, inversion, prompts, training, weights


class StyOExtension(ComfyExtension):
    """Registers every node of the pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*prompts.NODES, *training.NODES, *weights.NODES, *attention.NODES, *inversion.NODES]
