"""``streamtasks demo``: an example site with a real server and a real worker. Not for use in your own project."""
