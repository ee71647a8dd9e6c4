"""A portrait that follows a driving video: faces, motion, and what draws it."""
