"""Sources of frames: cameras, files, test patterns."""
