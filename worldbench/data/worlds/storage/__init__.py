"""Sets on disk: packed tracks, shipped and simulated, and their pictures in the cache."""
