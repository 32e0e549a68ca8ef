"""The pack outside of ComfyUI: importable as ``styo``, by its path, the way ComfyUI loads it."""

import importlib.util
import sys

import environment


def import_pack():
    """Make ``import styo`` give this checkout."""
    spec = importlib.util.spec_from_file_location(
        "styo", environment.ROOT / "__init__.py", submodule_search_locations=[str(environment.ROOT)]
    )
    sys.modules["styo"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["styo"])
