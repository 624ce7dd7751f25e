"""The `rotoscale` command: one file per subcommand, over the assets."""
