"""The numbers of colour tags (ITU-T H.273) and ffmpeg's names for them."""

RANGES = {1: "tv", 2: "pc"}
MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c"}
OTHER_MATRICES = {
    **{8: "YCgCo", 11: "Y'D'zD'x", 12: "chroma derived from primaries", 13: "chroma derived from primaries"},
    **{14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"},
}
"""What ffmpeg does not convert to R'G'B' either, by the names of the standard."""
PRIMARIES = {
    **{1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film"},
    **{9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "jedec-p22"},
}
TRANSFERS = {
    **{1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100"},
    **{10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10"},
    **{15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67"},
}
