"""Commands: one file for each word after `nasgym` or a few of them, and what they share."""
