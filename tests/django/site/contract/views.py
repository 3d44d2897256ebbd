"""A view and the task it enqueues, in one module."""

from django.http import HttpRequest, HttpResponse
from django.tasks import task


@task
def beside_a_view() -> str:
    return "found through the URLconf"


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(beside_a_view.enqueue().id)
