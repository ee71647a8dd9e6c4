"""An object followed from prompts (boxes, points, strokes), mask by mask; the task `track`."""
