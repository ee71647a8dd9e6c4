"""Where the program itself lies."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).parents[2]
"""The folder that holds `pipelines` and `pyproject.toml`: child processes start there, so that imports resolve."""
