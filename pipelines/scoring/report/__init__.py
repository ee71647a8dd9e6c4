"""Tables, summaries and charts of scored videos."""
