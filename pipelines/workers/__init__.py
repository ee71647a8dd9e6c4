"""The processes that compute, inspect and pose; and their supervision."""
