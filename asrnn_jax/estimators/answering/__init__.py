"""From the outputs of a network to classes, numbers and intervals."""
