"""Make the network that the portrait benchmark reads pictures with: render portraits of all styles, train on them.

Takes about twenty-five minutes of one core and writes the reader.safetensors that
the benchmark reads; with --quick it writes to demo_output.
"""

from shared import launch

if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    parser.add_argument("--pictures", type=launch.positive, default=20_000, help="portraits to train on")
    parser.add_argument("--epochs", type=launch.positive, default=8, help="how often each is seen")
    parser.set_defaults(device="cpu", output=launch.ROOT / "benchmarks" / "portrait_quality")
    options = parser.parse_args()
    if options.quick:
        options.pictures, options.epochs = 640, 1
        if options.output == parser.get_default("output"):
            options.output = launch.ROOT / "demo_output"
    if options.pictures < 64:
        parser.error("it needs 64 pictures at least")
    launch.begin(options, peer=None)
    from portrait_quality.reader_training import make

    make(options.pictures, options.epochs, options.output)
