"""Results of Django, built from the store's records."""
