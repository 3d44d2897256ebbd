"""One small file for each system that is compared. Each runs in the environment of its system."""
