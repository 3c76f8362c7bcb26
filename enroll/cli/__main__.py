"""Run the command `embed` by `python -m enroll.cli`."""

from enroll.cli import main

if __name__ == "__main__":
    main()
