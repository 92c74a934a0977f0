"""The procedural worlds: simulated, rendered clips whose truth is known exactly."""
