"""Faces: found, followed, recognised, swapped and pasted back."""
