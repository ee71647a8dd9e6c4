"""Visitors' jobs: what may be asked, uploads, and the stream of events."""
