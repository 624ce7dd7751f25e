"""`rotoscale completion SHELL`: the script by which a shell completes commands, options and model names."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, to be read by it when it starts.

    \b
    bash, in ~/.bashrc:   eval "$(rotoscale completion bash)"
    zsh, in ~/.zshrc:     eval "$(rotoscale completion zsh)"
    fish:                 rotoscale completion fish \\
                            > ~/.config/fish/completions/rotoscale.fish
    """
    from click.shell_completion import get_completion_class

    from command_line.cli import cli

    script = get_completion_class(shell)
    assert script is not None

    click.echo(script(cli, {}, "rotoscale", "_ROTOSCALE_COMPLETE").source())
