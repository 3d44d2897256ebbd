"""``streamtasks demo``: an example site with a real server and a real worker. Not meant for a project of yours."""
