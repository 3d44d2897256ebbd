"""The root URLconf: workers import it, and with it the tasks beside views."""

from django.urls import path

from .views import index

urlpatterns = [path("", index)]
