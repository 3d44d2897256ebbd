"""Read the settings of a project: OPTIONS of an alias, STREAMTASKS, and the documented settings ``TASK_...``.

`options` has the keys of ``TASKS[alias]["OPTIONS"]``, `project` those of ``STREAMTASKS`` and ``TASK_IMPORTS``, and
`task_settings` the documented settings. OPTIONS win over the settings.
"""
