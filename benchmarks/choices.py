"""Ways the pack could do its work, each against the way it does: what was tried before something was kept."""

from shared import launch

if __name__ == "__main__":
    parser = launch.options(__doc__)
    parser.add_argument("--only", choices=["columns", "batch", "training", "states"], help="one of the questions")
    options = parser.parse_args()
    device = launch.begin(options)
    from tried.rows import measure_choices

    measure_choices(options, device)
