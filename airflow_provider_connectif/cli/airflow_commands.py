"""The commands for Airflow's own command line, from 3.2 on: the provider info names them under ``cli``.

Airflow imports this module for each of its commands, so it imports only Airflow's classes for commands.
"""

from __future__ import annotations

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand

from airflow_provider_connectif.cli.commands import COMMANDS, Command, Group
from airflow_provider_connectif.cli.running import runner


def commands() -> list[CLICommand]:
    """Return ``airflow connectif`` and the commands below it."""
    return [_group(COMMANDS)]


def _group(group: Group) -> GroupCommand:
    return GroupCommand(
        name=group.name,
        help=group.help,
        subcommands=[_command(entry) if isinstance(entry, Command) else _group(entry) for entry in group.commands],
    )


def _command(command: Command) -> ActionCommand:
    return ActionCommand(
        name=command.name,
        help=command.help,
        func=runner(command.run),
        args=[Arg(option.flags, **option.settings) for option in command.options],
    )
