"""Published weights: catalogue, search, download and licences."""
