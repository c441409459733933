"""The subcommands of `acnn-nnunet`, by capability; each module adds its parsers. Heavy imports stay inside the functions."""
