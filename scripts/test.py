"""Run the checks: ``ruff check`` and the whole test suite. Extra arguments go to pytest."""

import os
import subprocess
import sys

import environment


def main() -> int:
    """Run both checks, whatever the first one finds; 0 when both are content."""
    os.chdir(environment.ROOT)
    lint = subprocess.call([sys.executable, "-m", "ruff", "check"])
    tests = subprocess.call([sys.executable, "-m", "pytest", *sys.argv[1:]])
    if lint:
        print("ruff check found problems: see the top of this output.")
    return lint or tests


if __name__ == "__main__":
    environment.enter()
    sys.exit(main())
