"""Face swap: making the new face, and putting it into the picture."""
