"""The tasks of the shop. A worker finds them because the module is called tasks."""

from streamtasks_django import task


@task(queue="mail", max_retries=5, autoretry_for=(ConnectionError,), retry_backoff=1)
def send_confirmation(order: int) -> str:
    """Send a mail; a connection that fails is tried again, at most five times."""
    return f"order {order} is confirmed"
