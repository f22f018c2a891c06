"""Commands: one file for each word after `nasgym`, or for a few that belong together."""
