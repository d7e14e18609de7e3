"""Small faults, one in each file of the library, and a script that says whether the tests notice: see `__main__`."""
