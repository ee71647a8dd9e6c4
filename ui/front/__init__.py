"""The address `/`: the page as small as it can be, kept ready to send, and the page that asks for a password."""
