"""Training of reference models: one loop for every recipe, on one GPU, several, or a CPU."""
