"""Run the command line with ``python -m fintech_dl``."""

from fintech_dl.cli import main

if __name__ == "__main__":
    main()
