"""A producer that is killed: rows of its own and tasks in the outbox, in transactions that it commits or rolls back.

Run as ``python -m tests.support.outbox_producer <number> <seed>`` with the environment of `django_site`. Each
transaction writes one mark and one task with the same word: the marks that are left are what was committed.
"""

from __future__ import annotations

import random
import sys

import django
from django.db import connection, transaction

MARKS = "CREATE TABLE IF NOT EXISTS marks (word TEXT PRIMARY KEY)"


def main(number: str, seed: str) -> None:
    """Commit and roll back without end."""
    django.setup()
    from contract.app import tasks

    rng = random.Random(f"{seed}-{number}")
    count = 0
    while True:
        count += 1
        with transaction.atomic():
            word = f"{number}-{count}"
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO marks VALUES (%s)", [word])
            tasks.note.enqueue(word)
            if rng.random() < 0.3:
                with transaction.atomic():
                    tasks.note.enqueue(f"lost-{word}-savepoint")
                    transaction.set_rollback(True)
            if rng.random() < 0.3:
                tasks.note.enqueue(f"lost-{word}")
                transaction.set_rollback(True)
        print(word, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
