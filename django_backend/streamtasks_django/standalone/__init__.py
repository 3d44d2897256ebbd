"""The dashboard as a server of its own, for plain Python apps and for Django projects that do not mount it."""
