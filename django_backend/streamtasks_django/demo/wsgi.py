"""The example site as a WSGI application. One process serves it: the page remembers its tasks in memory."""

from __future__ import annotations

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

__all__ = ["application"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "streamtasks_django.demo.settings")

application = StaticFilesHandler(get_wsgi_application())
"""Serves the static files of the package too, without DEBUG."""
