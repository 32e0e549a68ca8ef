"""Everything that has to be known on a GPU in a few minutes: is it right there, how fast is it, does it fit.

Most important first; each part is a process of its own within its share of the time, and writes what it finds as it
finds it. On a CPU everything runs at toy size, which says only that it runs. What a bare machine lacks can be brought
along in a folder: python scripts/gpu_kit.py.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

from on_gpu import programme, run
from shared import kit, launch

BEGIN = time.monotonic()


def arguments():
    parser = launch.common_options(__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--plan", action="store_true", help="print what would run, and nothing else")
    help_ = "only these parts: " + ", ".join(part.name for part in programme.PARTS)
    parser.add_argument("--only", nargs="+", metavar="PART", help=help_)
    parser.add_argument("--kit", type=Path, default=launch.ROOT / kit.FOLDER, help="what scripts/gpu_kit.py gathered")
    parser.add_argument("--part", help="carry out this part in this process")
    parser.add_argument("--seconds", type=float, default=60.0, help="for --part")
    parser.set_defaults(output=launch.RESULTS / "gpu")
    options = parser.parse_args()
    try:
        options.parts = programme.chosen(options.only)
    except ValueError as error:
        parser.error(str(error))
    return options


def main():
    options = arguments()
    seconds = 60 * options.minutes
    if options.plan:
        print(programme.plan(options.parts, seconds))
        return
    if options.part:
        sys.path[:0] = filter(None, [os.environ.get(kit.UNPACKED)])
        kit.stand_in_for_video()
        if options.part == "passes":
            kit.load_dynamic_vram()
        device = launch.start(options)
        left = options.seconds - (time.monotonic() - BEGIN)
        run.run_part(options.part, left, options.output, device, options.quick or device == "cpu")
        return
    with tempfile.TemporaryDirectory() as unpacked:
        if options.here and options.kit.is_dir():
            kit.unpack(options.kit, Path(unpacked))
        launch.enter(options.here)
        if missing := kit.missing(Path(unpacked)):
            print(f"Not on this machine, so what needs it cannot run: {', '.join(missing)}", flush=True)
        shared = {"--device": options.device, "--output": str(options.output.absolute())}
        command = [sys.executable, __file__, "--here", *(word for pair in shared.items() for word in pair)]
        command += ["--quick"] * options.quick
        command += ["--threads", str(options.threads)] if options.threads else []
        sys.exit(not run.run(options.parts, seconds, options.output, command))


if __name__ == "__main__":
    main()
