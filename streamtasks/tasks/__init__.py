"""Tasks: their options, their calls, and one attempt at a call."""
