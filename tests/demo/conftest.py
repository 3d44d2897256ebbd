"""The example site in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.test import Client
    from selenium import webdriver


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser for all tests of this process."""
    from tests.support.browser import start_chromium  # only its tier has the package

    browser = start_chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def demo_settings(embedded_url: str) -> Iterator[dict[str, Any]]:
    """Put the example site's settings in force, on an empty server that no worker serves."""
    # Not while tests are collected: another folder's tests set Django up for a project of theirs then.
    import django
    from django.conf import settings

    if not settings.configured:
        os.environ["DJANGO_SETTINGS_MODULE"] = "streamtasks_django.demo.settings"
        django.setup()
    from django.test import override_settings

    from streamtasks_django.demo import settings as site

    values = {name: value for name, value in vars(site).items() if name.isupper()}
    # Nothing is logged or kept in a database here; Django warns of changing the latter.
    values = {name: value for name, value in values.items() if name not in ("DATABASES", "LOGGING", "URL_VARIABLE")}
    backend = site.TASKS["default"]
    values["TASKS"] = {"default": {**backend, "OPTIONS": {**backend["OPTIONS"], "url": embedded_url, "timeout": 0.5}}}
    values["ALLOWED_HOSTS"] = ["testserver"]
    with override_settings(**values):
        yield values


@pytest.fixture
def client(demo_settings: dict[str, Any]) -> Iterator[Client]:
    """A client that meets the CSRF check, as a browser does."""
    from django.test import Client

    from streamtasks_django.demo.views import latest

    latest.clear()
    yield Client(enforce_csrf_checks=True)
    latest.clear()
