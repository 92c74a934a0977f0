"""Hydra groups: one YAML per adapter, suite, data set and tracker."""
