"""The project of the contract tests."""

from streamtasks_django.framework import alias_backport

alias_backport()  # on Django 5.2 the same tests find the backport under the names of Django 6
