"""Which engines there are, what each needs, and which one runs here."""
