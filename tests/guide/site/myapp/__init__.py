"""The documented code, as it stands in the documentation, in one app.

`tasks`, `lifecycle`, `views`, `enqueueing`, `result_views`, `result_management` and `consumers` are the snippets, with the
imports that they leave out; all else is what they need around them.
"""
