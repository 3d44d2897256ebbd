"""The app with the tables of results; only projects that keep results in the database list it in INSTALLED_APPS."""
