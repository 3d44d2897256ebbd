"""A child process: claim messages, run attempts, settle their outcomes."""
