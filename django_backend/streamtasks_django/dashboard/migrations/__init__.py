"""Migrations of the dashboard's permissions."""
