"""The predictive school: a video joint-embedding predictive architecture (V-JEPA)."""
