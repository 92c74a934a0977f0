"""Sets for people and for other readers: contact sheets, clip walls, exported layouts."""
