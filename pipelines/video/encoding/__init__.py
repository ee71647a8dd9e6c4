"""How frames are encoded."""
