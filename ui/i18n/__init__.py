"""The page's words in English and Chinese."""
