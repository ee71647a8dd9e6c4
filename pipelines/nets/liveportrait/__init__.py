"""The networks of LivePortrait (Guo et al., 2024)."""
