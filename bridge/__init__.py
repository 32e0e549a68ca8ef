"""Between ComfyUI's model objects and the math in ``styo_attention`` and ``training``."""
