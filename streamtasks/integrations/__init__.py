"""Middleware for services that watch applications; each needs its extra."""
