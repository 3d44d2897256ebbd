"""Tasks of a Django project: their classes, their names, their settings."""
