"""The networks of ProPainter (Zhou et al., ICCV 2023)."""
