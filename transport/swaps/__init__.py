"""Face swap for callers: their pictures of faces, and pictures swapped one at a time."""
