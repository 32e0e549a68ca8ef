"""How well StyO does what it is for, measured against known right answers: the demo model on rendered portraits.

Thirty people the model has never seen are stylized in styles it has never seen: with StyO, with parts of it left out,
and by simpler means. What is finished is kept in demo_output/portraits; a stopped run goes on from there.
"""

import os

from shared import launch

if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    parser.add_argument("--tuning", action="store_true", help="on the set that settings are chosen on")
    help_ = "the first so many of the thirty triples only"
    parser.add_argument("--triples", type=launch.positive, metavar="N", help=help_)
    parser.add_argument("--no-ablations", action="store_true", help="StyO and its baselines only")
    help_ = "processes, each of --threads threads"
    parser.add_argument("--workers", type=launch.positive, default=os.cpu_count(), help=help_)
    parser.add_argument("--steps", type=launch.positive, help="training steps, to try the benchmark itself")
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    if options.triples == 1:
        parser.error("one triple has no interval")
    device = launch.begin(options, peer=None)
    from portrait_quality.bench import measure_portraits

    measure_portraits(options, device)
