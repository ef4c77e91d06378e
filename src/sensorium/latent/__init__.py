"""A world of one latent: 32 numbers that every modality tells of, with calibrated noise and known limits."""
