"""Pipelines: what turns a video into a result, and everything below it."""
