"""Data: real videos and procedural worlds, as clips with labels and digests."""
