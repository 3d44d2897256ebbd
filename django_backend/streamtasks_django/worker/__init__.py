"""What a worker needs of a Django project."""
