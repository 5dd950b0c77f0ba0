"""`protojobs`, and `python -m protojobs_service`."""

from protojobs_service.cli import app


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="protojobs")


if __name__ == "__main__":
    main()
