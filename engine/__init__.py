"""The real-time core. It imports no other package of this project."""
