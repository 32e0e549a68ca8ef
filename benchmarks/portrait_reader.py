"""Make the network that the portrait benchmark reads pictures with: render portraits of all families, train on them.

Takes about a quarter of an hour of one core and writes benchmarks/portrait_reader.safetensors.
"""

import launch


def arguments():
    parser = launch.common_options(__doc__)
    parser.add_argument("--pictures", type=int, default=20_000, help="portraits to train on")
    parser.add_argument("--epochs", type=int, default=5, help="how often each is seen")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    launch.enter(options.here, peer=None)
    launch.start(options)
    from reader_training import make

    if options.quick:
        options.pictures, options.epochs = 640, 1
    make(options.pictures, options.epochs)
