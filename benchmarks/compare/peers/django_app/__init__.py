"""The Django project of the backends for Django's tasks."""
