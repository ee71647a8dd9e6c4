"""An object that is followed from hints, mask by mask."""
