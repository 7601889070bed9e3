"""How variants run fast: in batches, off one run of their prompts."""
