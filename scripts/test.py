"""Run the checks: ``ruff check`` and the whole test suite. Extra arguments go to pytest."""

import os
import subprocess
import sys

import environment

SIDE_BY_SIDE = ["--numprocesses=logical", "--maxprocesses=4", "--dist=loadfile", "--no-loadscope-reorder"]
"""A process for each core, each with files of its own: fixtures that several tests of a file share are made once."""


def main() -> int:
    """Run both checks, whatever the first one finds; 0 when both are content."""
    os.chdir(environment.ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core for each process: what it starts shares that core with it
    lint = subprocess.call([sys.executable, "-m", "ruff", "check"])
    tests = subprocess.call([sys.executable, "-m", "pytest", *SIDE_BY_SIDE, *sys.argv[1:]])
    if lint:
        print("ruff check found problems: see the top of this output.")
    return lint or tests


if __name__ == "__main__":
    environment.enter()
    sys.exit(main())
