"""The training loop and what it leaves in its folder."""
