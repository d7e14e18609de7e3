"""One measurement of an accelerator, see `__main__`. It needs the library, jax and numpy; flax and torch if there."""
