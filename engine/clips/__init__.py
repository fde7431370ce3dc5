"""Clips: reading any video, making it even, saying what is wrong with it, preparing it."""
