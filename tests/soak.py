"""Let everything happen to trainings that can: python tests/soak.py --seconds 600

Random cancels, kills, full disks, damaged states and second processes, in random order from a printed seed. After every
round no finished weights are lost or overwritten, the interrupted training ends as an uninterrupted one does, and
nothing is left over.
"""

import argparse
import os
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--here", action="store_true", help="use this Python, with the ComfyUI at COMFYUI_PATH")
    options = parser.parse_args()
    if not options.here:
        import environment

        environment.enter()
    os.environ["TQDM_DISABLE"] = "1"
    import conftest  # noqa: F401  (makes ComfyUI and the pack importable)
    from idl_soak import soak

    with tempfile.TemporaryDirectory() as folder:
        soak(Path(folder), options.seed, options.seconds)


if __name__ == "__main__":
    main()
