"""What the pack adds to ComfyUI's start, and to a graph that has none of its nodes."""

from shared import launch

if __name__ == "__main__":
    parser = launch.options(__doc__)
    parser.add_argument("--starts", type=int, default=5, help="starts of ComfyUI to take the median of")
    options = parser.parse_args()
    device = launch.begin(options)
    from start_up.rows import measure_imports

    measure_imports(options, device)
