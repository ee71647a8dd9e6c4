"""Files that are complete or absent, and what is written into them."""
