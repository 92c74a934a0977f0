"""``worldbench distance``: how far apart are two folders of videos? No model, suite or record."""
