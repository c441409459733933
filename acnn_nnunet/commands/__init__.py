"""The subcommands of `acnn-nnunet`, by capability: parsers, and functions that import what they need when called."""
