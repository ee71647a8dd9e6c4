"""One job, run to its end: planning, the loop, memory, events."""
