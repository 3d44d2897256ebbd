"""Backends for ``settings.TASKS``. Each module's docstring says what its backend does not do."""
