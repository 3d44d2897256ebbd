"""The transactional outbox: calls are rows of the caller's transaction, and workers relay them to the store.

Put ``"streamtasks_django.outbox"`` into INSTALLED_APPS, run ``migrate``, and set OPTIONS ``outbox`` to True. Projects
without it have no table and no migration.
"""
