"""The task `copy`: decode and encode again, to try the machinery on a file."""
