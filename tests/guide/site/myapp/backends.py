"""The documented custom backend, on Redis: it takes its parameters as options and stores more about each result."""

from django.tasks.backends.redis import RedisBackend


class CustomRedisBackend(RedisBackend):
    def __init__(self, **options):
        super().__init__(**options)
        self.model = "myapp.StoredResult"

    def store_result(self, task_id, result, status, **kwargs):
        from django.apps import apps

        apps.get_model(self.model).objects.update_or_create(
            task_id=task_id,
            defaults={
                "status": status,
                "result": str(result),
                "priority": kwargs.get("priority", 0),
                "category": kwargs.get("category", ""),
                "created_by_id": kwargs.get("user_id"),
            },
        )
        return super().store_result(task_id, result, status, **kwargs)
