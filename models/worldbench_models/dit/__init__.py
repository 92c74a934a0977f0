"""The generative school: a video diffusion transformer in pixel space."""
