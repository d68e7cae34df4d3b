"""`gioconda` and `python -m gioconda`: the command line."""

from gioconda.runtime.threads import start_no_threads


def main() -> None:
    """Run the command line of this process and exit with its code."""
    start_no_threads()
    # It imports numpy.
    from gioconda import cli

    cli.main()


if __name__ == "__main__":
    main()
