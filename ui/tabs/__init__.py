"""The page's tabs: one for each task that the registry has, then *Jobs* and *System*."""
