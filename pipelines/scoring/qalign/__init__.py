"""The engine `qalign`: window scores by a vision-language network."""
