"""A user's files and tables as one form: `Table`."""
