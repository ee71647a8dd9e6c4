"""A job on disk: its record, events, lock, inputs and removal."""
