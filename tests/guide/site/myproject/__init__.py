"""The project around `myapp`."""
