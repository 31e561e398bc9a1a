# SPDX-License-Identifier: Apache-2.0
"""The commands of the runbooks name their server, and commands that change something are marked."""

from tests.support.runbooks import BARE, CHANGING, MARK, NOT_RUN, PAGE, program, sections


def test_there_are_commands() -> None:
    """The page has commands of both kinds, so that the tests below check something."""
    assert sum(len(section.reading) for section in sections()) > 50
    assert PAGE.read_text(encoding="utf-8").count(f"\n{MARK}\n") == sum(bool(row.changing) for row in sections()) > 10


def test_commands_in_the_text_only_read() -> None:
    """Commands that change something are in the last block of a section, and only there."""
    for section in sections():
        assert [] == [command for command in section.reading if CHANGING.search(command)], section.alert
        assert [] == [command for command in section.changing if not CHANGING.search(command)], section.alert
        assert 0 == section.other_blocks, section.alert


def test_commands_name_their_server() -> None:
    """Each command names the address of its server, and never relies on the default of its program."""
    assert [] == [span for section in sections() for span in section.spans if BARE.match(span)]
    for command in [command for section in sections() for command in (*section.reading, *section.changing)]:
        if "redis-cli" in command:
            assert 'redis-cli -u "$' in command or ("--cluster" in command and '"$NODE"' in command), command
        if program(command) == "celery":
            assert command.startswith('celery -b "$BROKER" -A "$APP" '), command
        if command.startswith("celery-redis-exporter check"):
            assert command.endswith('--broker-url "$BROKER"'), command
        if program(command) == "curl":
            assert '"$EXPORTER/' in command, command


def test_few_commands_are_run_by_no_test() -> None:
    """At most ten programs are not run by tests, each with a reason, and each of them is on the page."""
    assert len(NOT_RUN) <= 10
    commands = {command for section in sections() for command in (*section.reading, *section.changing)}
    assert set(NOT_RUN) <= set(map(program, commands))
