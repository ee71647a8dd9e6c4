"""A clip that the project draws itself, with known faults in it: to try scoring on, and to see what it finds."""
