"""Everything that turns frames or prompts into pictures and words."""
