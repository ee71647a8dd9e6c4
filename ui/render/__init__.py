"""What is shown, as HTML: jobs, reports, media, the machine."""
