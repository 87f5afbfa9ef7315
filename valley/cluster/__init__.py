"""The only place that knows a scheduler."""
