"""Operators that networks share: convolutions, resampling, scratch memory."""
