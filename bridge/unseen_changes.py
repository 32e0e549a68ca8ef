"""What changes a MODEL or CLIP other than by patches of its weights: a training would not see it, so it is refused."""

from __future__ import annotations

from collections.abc import Iterator

from comfy.patcher_extension import WrappersMP

HARMLESS_OBJECTS = ("model_sampling", "latent_format", "manual_cast_dtype")
"""Replaced parts that a training reads (the first two), or that change no value."""
COMPILED = "torch.compile"
"""Key of the wrappers that compute the same, only faster."""
NETWORK_WRAPPERS = (WrappersMP.APPLY_MODEL, WrappersMP.DIFFUSION_MODEL)


def require_weight_patches_only(socket: str, patcher):
    """Raise ValueError, naming ``socket``, if anything but patches of weights changes what ``patcher`` computes."""
    if injections := ", ".join(map(str, patcher.injections)):
        raise ValueError(
            f"`{socket}` carries a LoRA in bypass mode, or another injection ({injections}), which training would not "
            "see: load it with Load LoRA instead, or put its node behind StyO IDL Train."
        )
    for change in _changes(patcher):
        raise ValueError(
            f"`{socket}` carries {change}, which training would not see: put the node that makes it behind StyO IDL "
            "Train."
        )


def _changes(patcher) -> Iterator[str]:
    options = patcher.model_options
    transformer = options.get("transformer_options", {})
    if objects := [name for name in patcher.object_patches if name not in HARMLESS_OBJECTS]:
        yield f"a replaced part ({', '.join(objects)})"
    if patcher.weight_wrapper_patches:
        yield f"a function on its weights ({next(iter(patcher.weight_wrapper_patches))})"
    if patcher.hook_patches or patcher.forced_hooks:
        yield "hooks that change its weights"
    if "model_function_wrapper" in options:
        yield "a function around its calls"
    if patches := [kind for name in ("patches", "patches_replace") for kind in transformer.get(name, {})]:
        yield f"a change of its layers ({', '.join(sorted(set(patches)))})"
    for wrappers in (patcher.wrappers, transformer.get("wrappers", {})):
        keys = {key for kind in NETWORK_WRAPPERS for key, held in wrappers.get(kind, {}).items() if held} - {COMPILED}
        if keys:
            yield f"a wrapper of its calls ({', '.join(sorted(map(str, keys)))})"
