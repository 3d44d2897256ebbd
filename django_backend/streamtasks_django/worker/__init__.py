"""Run the tasks of a Django project in a worker."""
