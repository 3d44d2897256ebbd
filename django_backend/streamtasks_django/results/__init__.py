"""Results as Django has them, made from what the store knows."""
