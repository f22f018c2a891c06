"""The commands of `nasgym`, and the parsing of flags and the output that they share."""
