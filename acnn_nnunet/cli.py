"""The `acnn-nnunet` command: parse, then call one function."""

import argparse
import sys
from collections.abc import Sequence

from acnn_nnunet import __version__
from acnn_nnunet.commands import challenges, evaluation, latent, predictions, sweeping, thick_slices, training


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake becomes one line on stderr and exit code 1."""
    arguments = _parse(argv)
    try:
        text, exit_code = arguments.run(arguments)
        print(text)
        return exit_code
    except (ValueError, OSError, RuntimeError) as error:
        print(f"acnn-nnunet {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"acnn-nnunet {arguments.command}: interrupted", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="acnn-nnunet", description="Learnt anatomy for nnU-Net v2.")
    parser.add_argument("--version", action="version", version=f"acnn-nnunet {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (training, evaluation, challenges, thick_slices, latent, predictions, sweeping):
        module.add_parsers(commands)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes positionals in one run only, and `key=value` words come after the options.
    if rest and "settings" in arguments and not any(word.startswith("-") for word in rest):
        arguments.settings += rest
    elif rest:
        first = next((place for place, word in enumerate(rest) if word.startswith("-")), 0)
        parser.error(f"unrecognized arguments: {' '.join(rest[first:] if 'settings' in arguments else rest)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
