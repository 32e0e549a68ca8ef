"""What the pack adds to the start of ComfyUI and to a graph without its nodes."""
