"""What reading and replacing attention columns costs, against a plain pass, Prompt-to-Prompt and a dense hook.

On a GPU: SD1.5's shape with random weights, 512x512, 50 DDIM steps, guidance 7.5, fp16.
On a CPU: a 320-channel mini of it at 256x256 and one step in fp32.
"""

from shared import launch


def arguments():
    parser = launch.options(__doc__)
    parser.add_argument("--dtype", choices=["fp32", "fp16", "bf16"], help="fp16 on a GPU, fp32 on a CPU")
    parser.add_argument("--steps", type=int, help="DDIM steps of a pass")
    parser.add_argument("--sdpa", action="store_true", help="ComfyUI with its --use-pytorch-cross-attention")
    parser.add_argument("--sweep", action="store_true", help="growth with tokens, steps and resolution instead")
    parser.add_argument("--costs", action="store_true", help="capture and inject against plain passes, nothing else")
    parser.add_argument("--ways", action="store_true", help="Capture and Inject, and Source Attention, nothing else")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    launch.enter(options.here)
    device = launch.start(options)
    from attention_cost.rows import measure_costs, measure_growth, measure_passes, measure_ways

    asked = {measure_growth: options.sweep, measure_costs: options.costs, measure_ways: options.ways}
    measure = next((measure for measure, wanted in asked.items() if wanted), measure_passes)
    measure(options, device)
