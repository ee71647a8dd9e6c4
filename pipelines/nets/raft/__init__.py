"""The optical flow network RAFT (Teed and Deng, ECCV 2020)."""
