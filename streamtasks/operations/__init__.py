"""What operators do with an app: for command line, metrics, dashboards and health checks alike. Data, no rendering."""
