"""The progress of a task on a page of your own: a template tag, and an address that only its signature opens."""
