"""The `Store` protocol in SQL: tables, steps (transactions), and the transitions of the memory store on rows."""
