"""`chargehand schedules`: added, listed, shown, paused, resumed, run and removed from the terminal."""

import json

from tests.cli.service import Cli


def test_a_schedule_lives_its_life_from_the_terminal(cli: Cli) -> None:
    added = cli.call(
        *("schedules", "add", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin"),
        *("--agent", "greeter", "--data", '{"name": "Ada"}', "--label", "team=shop", "--budget", "steps=50"),
    )
    listed = cli.call("schedules", "list", "--agent", "greeter")
    shown = cli.call("schedules", "show", "nightly")
    told = json.loads(cli.call("schedules", "show", "nightly", "--json").stdout)
    paused = cli.call("schedules", "pause", "nightly")
    ran = cli.call("schedules", "run-now", told["id"])
    watched = cli.call("tasks", "watch", ran.stdout.strip())
    of_it = json.loads(cli.call("tasks", "list", "--label", "schedule=nightly", "--json").stdout)
    resumed = cli.call("schedules", "resume", "nightly")
    removed = cli.call("schedules", "remove", "nightly")
    left = json.loads(cli.call("schedules", "list", "--json").stdout)

    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("nightly: 20")
    assert "nightly" in listed.stdout
    assert "Europe/Berlin" in listed.stdout
    for text in ("30 2 * * * (Europe/Berlin)", '{"name": "Ada"}', "team=shop", "steps=50"):
        assert text in shown.stdout
    assert len(told["next_times"]) == 5
    assert paused.stdout == "nightly: paused\n"
    assert watched.returncode == 0, watched.stderr
    assert [one["id"] for one in of_it] == [ran.stdout.strip()]
    assert resumed.stdout.startswith("nightly: 20")
    assert removed.stdout == "removed nightly\n"
    assert left == []


def test_what_is_wrong_is_told_in_a_line_and_with_a_code(cli: Cli) -> None:
    base = ("schedules", "add", "wrong", "--agent", "greeter")

    bad_cron = cli.call(*base, "--cron", "0 99 * * *")
    bad_zone = cli.call(*base, "--cron", "@daily", "--zone", "Mars/Base")
    bad_missed = cli.call(*base, "--cron", "@daily", "--missed", "never")
    no_agent = cli.call("schedules", "add", "wrong", "--agent", "nobody", "--cron", "@daily")
    absent = [cli.call("schedules", one, "none-such") for one in ("show", "pause", "run-now", "remove")]

    assert (bad_cron.returncode, bad_zone.returncode, bad_missed.returncode) == (2, 2, 2)
    assert "its hour is wrong; it takes 0-23" in bad_cron.stderr
    assert "IANA name such as Europe/Berlin" in bad_zone.stderr
    assert "missed" in bad_missed.stderr
    assert no_agent.returncode == 4
    assert [one.returncode for one in absent] == [4] * 4
    assert all("chargehand schedules list" in one.stderr for one in absent)


def test_without_a_service_a_schedule_is_stored_and_says_what_it_waits_for(alone: Cli) -> None:
    added = alone.run("schedules", "add", "daily", "--cron", "@daily", "--agent", "greeter")
    listed = alone.run("schedules", "list")

    assert added.returncode == 0, added.stderr
    assert "no service runs" in added.stderr
    assert "daily" in listed.stdout
