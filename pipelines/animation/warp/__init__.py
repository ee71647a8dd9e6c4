"""The built-in engine: a portrait bent after a driving face."""
