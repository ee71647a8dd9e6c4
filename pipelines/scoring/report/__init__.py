"""Score tables, summaries and charts."""
