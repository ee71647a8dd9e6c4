"""Per-frame measurements and the verdicts drawn from them."""
