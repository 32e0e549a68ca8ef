"""StyO for ComfyUI: Stylize Your Face in Only One-Shot (arXiv 2303.03231)."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Give ComfyUI the pack's nodes; nothing is imported before ComfyUI asks."""
    from .nodes.extension import StyOExtension

    return StyOExtension()
