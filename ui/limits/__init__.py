"""What visitors may use before they have a job: turns of the processes that look at files, and disk for uploads."""
