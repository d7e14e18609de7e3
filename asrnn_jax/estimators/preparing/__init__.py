"""From a table to what a network takes, in training and row by row for ever."""
