"""`python -m command_line`: the `rotoscale` command without an installed script."""

from command_line.main import main

if __name__ == "__main__":
    main()
