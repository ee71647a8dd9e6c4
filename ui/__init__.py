"""The page: the only place that knows Gradio. It listens to events."""
