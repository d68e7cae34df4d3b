"""`python -m gioconda`: the command line."""

from gioconda.cli import main

if __name__ == "__main__":
    main()
