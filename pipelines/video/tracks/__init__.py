"""What a joined file holds besides pictures: sound, subtitles, chapters, and the clock of all tracks."""
