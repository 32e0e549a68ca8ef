"""How the demo model's weights were made: pictures, autoencoder, denoiser."""
