"""What the command `filmroom` and `python -m filmroom` run, also where the extra that they need is not installed."""

import sys


def main() -> None:
    try:
        from filmroom.cli.main import main as run
    except ModuleNotFoundError as error:
        what = f"a command needs {error.name}, which is not installed; pip install 'filmroom[room]'"
        sys.stderr.write(f"error[unavailable]: {what}\n")
        sys.exit(4)
    run()


if __name__ == "__main__":
    main()
