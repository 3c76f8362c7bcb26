"""Run `python -m enroll.cli`, as the command `embed`."""

from enroll.cli import main

if __name__ == "__main__":
    main()
