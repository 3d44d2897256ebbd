"""Two pages."""

from django.urls import path
from shop import views

urlpatterns = [
    path("orders/<int:order>/confirm", views.confirm),
    path("tasks/<str:task_id>", views.task, name="task"),
]
