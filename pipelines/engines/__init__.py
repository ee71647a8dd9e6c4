"""Engines: which can run on this machine, which one `auto` picks, and opening a job with it."""
