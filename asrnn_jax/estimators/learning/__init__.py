"""A network fitted to prepared streams within a budget of time."""
