"""Pictures of what suites ask and what adapters answer: ``python -m worldbench.suites.show``."""
