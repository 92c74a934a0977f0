"""Video diffusion pipelines of the library diffusers: one adapter, one description per pipeline."""
