"""Charts as pictures: a chart with lines, areas and words, and panels with scales. Light: numpy, OpenCV, Pillow."""
