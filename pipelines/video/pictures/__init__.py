"""Pictures: one file, a folder, or an animation."""
