"""Adapters: one file per family, each implementing the capabilities it can."""
