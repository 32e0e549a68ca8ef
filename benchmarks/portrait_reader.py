"""Make the network that the portrait benchmark reads pictures with: render portraits of all styles, train on them.

Takes about twenty-five minutes of one core and writes the reader.safetensors that
the benchmark reads; with --quick it writes to demo_output.
"""

from pathlib import Path

from shared import launch


def arguments():
    parser = launch.basic_options(__doc__)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the network goes instead")
    parser.add_argument("--pictures", type=launch.positive, default=20_000, help="portraits to train on")
    parser.add_argument("--epochs", type=launch.positive, default=8, help="how often each is seen")
    parser.set_defaults(device="cpu")
    options = parser.parse_args()
    if options.pictures < 64:
        parser.error("it needs 64 pictures at least")
    return options


if __name__ == "__main__":
    options = arguments()
    launch.enter(options.here, peer=None)
    launch.start(options)
    from portrait_quality.reader_training import make
    from portrait_quality.reading import PATH

    folder = PATH.parent
    if options.quick:
        options.pictures, options.epochs, folder = 640, 1, launch.ROOT / "demo_output"
    make(options.pictures, options.epochs, (options.output or folder) / PATH.name)
