"""Masks as they are given (images, archives, videos), read as one mask per frame."""
