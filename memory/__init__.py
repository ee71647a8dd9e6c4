"""Host and device memory: probing, planning, measuring, and what to do when it runs out."""
