"""Reports in plain words: a module for each task that has something of its own to say, found by the task's name."""
