"""Who runs next: the job queue, its statistics and the removal of old jobs."""
