"""Media files: frames out of them, frames into them, and what they say of themselves."""
