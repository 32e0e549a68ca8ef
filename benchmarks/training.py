"""What training costs, against a DreamBooth-style loop in diffusers with the same three losses.

On a GPU: SD1.5's shape with random weights, 512 px, bf16 and fp16, and 400 steps end to end.
On a CPU: a 320-channel mini of it at 128 px, fp32 and bf16, and a few steps end to end.
"""

from shared import launch

if __name__ == "__main__":
    parser = launch.options(__doc__)
    parser.add_argument("--steps", type=int, help="steps of the end-to-end run; 400 on a GPU")
    options = parser.parse_args()
    device = launch.begin(options)
    from training_cost.rows import measure_training

    measure_training(options, device)
