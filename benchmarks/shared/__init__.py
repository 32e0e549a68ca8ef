"""What the benchmarks share; importing it makes the modules of `scripts` importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))
