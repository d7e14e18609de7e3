"""What the command line does besides training: one file a command, and what they share."""
