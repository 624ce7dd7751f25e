"""The subcommands of `rotoscale`, one file each; what lies here is found, and explained by its docstring."""
