"""The pages of single things, and the changes that they offer."""
