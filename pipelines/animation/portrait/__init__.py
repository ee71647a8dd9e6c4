"""The network engine around the networks: motion, options, templates, poses, long videos."""
