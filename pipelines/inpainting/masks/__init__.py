"""Masks as they are given: pictures, archives, films."""
