"""Avatars played from compiled clips: reading, compiling, and the player's state machine."""
