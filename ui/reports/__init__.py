"""Reports as HTML: a module for each task whose report is more than a list of figures, found by the task's name."""
