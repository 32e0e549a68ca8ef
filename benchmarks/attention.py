"""What reading and replacing attention columns costs, against a plain pass, Prompt-to-Prompt and a dense hook.

On a GPU: SD1.5's shape with random weights, 512x512, 50 DDIM steps, guidance 7.5, fp16.
On a CPU: a 320-channel mini of it at 256x256 and one step in fp32.
"""

from shared import launch

if __name__ == "__main__":
    parser = launch.options(__doc__)
    parser.add_argument("--dtype", choices=["fp32", "fp16", "bf16"], help="fp16 on a GPU, fp32 on a CPU")
    parser.add_argument("--steps", type=int, help="DDIM steps of a pass")
    parser.add_argument("--sdpa", action="store_true", help="ComfyUI with its --use-pytorch-cross-attention")
    parser.add_argument("--sweep", action="store_true", help="growth with tokens, steps and resolution instead")
    parser.add_argument("--costs", action="store_true", help="capture and inject against plain passes, nothing else")
    parser.add_argument("--ways", action="store_true", help="Capture and Inject, and Source Attention, nothing else")
    options = parser.parse_args()
    device = launch.begin(options)
    from attention_cost.rows import QUESTIONS, Bench

    question = next((name for name in QUESTIONS if name and getattr(options, name)), "")
    QUESTIONS[question][0](Bench(options, device))
