"""python -m nasgym: the command line."""

from nasgym.commands.main import main

main()
