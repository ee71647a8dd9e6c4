"""The served page: visitors, limits, metrics and the machine's state."""
