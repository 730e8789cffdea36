"""The documentation, and what draws and writes it from the program."""
