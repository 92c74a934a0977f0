"""Hydra groups of the reference models: one YAML per adapter and per model to train."""
