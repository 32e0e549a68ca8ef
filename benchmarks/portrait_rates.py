"""Which learning rate suits a method or an optimizer on the demo model's portraits, beside StyO as it is shipped.

On the tuning set, which rates are chosen on, or with --held-out on the first triples of the benchmark itself.
"""

from shared import launch

if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    parser.add_argument("setting", choices=["method", "optimizer"])
    parser.add_argument("value", help="such as lora, or adafactor")
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-4, 5e-4, 1e-3], metavar="RATE")
    parser.add_argument("--triples", type=launch.positive, default=3, metavar="N")
    parser.add_argument("--held-out", action="store_true", help="on the benchmark's triples")
    parser.add_argument("--workers", type=launch.positive, default=1, help="processes, each of --threads threads")
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    device = launch.begin(options, peer=None)
    from portrait_quality.rates import measure_rates

    measure_rates(options, device)
