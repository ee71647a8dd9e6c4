"""Examples that the project draws itself: a clip with known faults for scoring, and a portrait with a driving clip."""
