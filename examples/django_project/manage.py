#!/usr/bin/env python
"""A project with one app. In two terminals, in this folder:

$ python manage.py streamtasks_worker --concurrency 2
$ python manage.py runserver --noreload 8000

Then open http://127.0.0.1:8000/orders/7/confirm and the address that it shows.
"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
    execute_from_command_line(sys.argv)
