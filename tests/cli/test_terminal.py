"""The live tree on a real (pseudo) terminal: it is drawn, it asks, it stops on Ctrl-C."""

import sys

import pytest

from tests.cli.service import Cli, Running

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals of this kind", allow_module_level=True)

from tests.cli.terminal import on_terminal


def test_the_tree_is_drawn_in_place_with_tasks_checks_and_the_outcome(cli: Cli, service: Running) -> None:
    with on_terminal(cli, "run", "leader") as terminal:
        code = terminal.ended()

    assert code == 0
    assert "\x1b[?25l" in terminal.raw  # The cursor is hidden while the tree is drawn …
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex(
        "\x1b[?25l"
    )  # … and shown again at the end.
    last = terminal.text[terminal.text.rindex("✓ leader") :]
    assert last.count("✓ greeter") == 2
    assert "completed in " in last


def test_a_question_is_put_to_the_person_at_the_terminal(cli: Cli, service: Running) -> None:
    with on_terminal(cli, "run", "asker") as terminal:
        terminal.wait_for("number or text: ")
        terminal.type("green\n")
        terminal.wait_for("choose 1 to 2")
        terminal.type("2\n")
        code = terminal.ended()

    assert code == 0
    assert "Which color?" in terminal.text
    assert 'result: {"color": "blue"}' in terminal.text


def test_ctrl_c_at_a_question_leaves_the_task_and_the_terminal_in_order(cli: Cli, service: Running) -> None:
    with on_terminal(cli, "run", "asker") as terminal:
        terminal.wait_for("number or text: ")
        terminal.type("\x03")
        code = terminal.ended()

    assert code == 130
    assert "stopped watching; the task goes on. Watch it again with: chargehand tasks watch " in terminal.text
    assert "Traceback" not in terminal.text
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")


@pytest.mark.parametrize(("columns", "rows"), [(20, 5), (1, 1)])
def test_a_tiny_terminal_is_no_error(cli: Cli, service: Running, columns: int, rows: int) -> None:
    with on_terminal(cli, "run", "leader", columns=columns, rows=rows) as terminal:
        code = terminal.ended()

    assert code == 0
    assert "Traceback" not in terminal.text


def test_a_list_is_cut_to_the_terminals_width(cli: Cli, service: Running) -> None:
    with on_terminal(cli, "agents", "list", columns=40) as terminal:
        code = terminal.ended()

    assert code == 0
    assert max(len(line) for line in terminal.text.splitlines()) <= 40
