"""`chargehand keys` and `chargehand tenants` beyond what the guide shows, which test_access_guide.py runs."""

import json

from tests.cli.service import Cli


def test_a_key_lives_its_life_from_the_terminal(cli: Cli) -> None:
    created = cli.call("keys", "create", "ci", "--role", "viewer", "--agent", "greeter", "--expires", "90d")
    held = cli.with_environment(CHARGEHAND_KEY=created.stdout.strip())
    seen = json.loads(held.call("agents", "list", "--json").stdout)
    refused = held.call("keys", "list")
    rotated = json.loads(cli.call("keys", "rotate", "ci", "--keep", "1h", "--json").stdout)
    shown = cli.call("keys", "show", "ci")

    assert created.returncode == 0, created.stderr
    assert "shown this once" in created.stderr
    assert [one["id"] for one in seen] == ["greeter"]
    assert (refused.returncode, "keys:read" in refused.stderr) == (5, True)
    for text in ("viewer", "greeter", f"replaces   {rotated['replaced']['id']}", "agents:read, tasks:read"):
        assert text in shown.stdout


def test_a_tenants_own_key_works_in_its_tenant(cli: Cli) -> None:
    created = cli.call("tenants", "create", "lab")
    theirs = cli.with_environment(CHARGEHAND_KEY=created.stdout.strip())

    crew = json.loads(theirs.call("agents", "list", "--json").stdout)
    refused = theirs.call("tenants", "list")

    assert "backend-developer" in {one["id"] for one in crew}
    assert (refused.returncode, "admin:service" in refused.stderr) == (5, True)


def test_what_is_wrong_is_told_in_a_line_and_with_a_code(cli: Cli) -> None:
    no_time = cli.call("keys", "create", "x", "--role", "viewer", "--expires", "soon")
    absent = cli.call("keys", "revoke", "none-such")
    boss = cli.call("keys", "create", "x", "--role", "boss")
    bad_id = cli.call("tenants", "create", "Bad_ID")

    assert (no_time.returncode, "like 30m, 24h or 90d" in no_time.stderr) == (2, True)
    assert (absent.returncode, "chargehand keys list" in absent.stderr) == (4, True)
    for refused, said in (
        (boss, "is no role; there are: viewer, client, approver, developer, operator, admin"),
        (bad_id, "is 1 to 63 of a-z 0-9 -, with a letter or a digit at both ends"),
    ):
        assert (refused.returncode, refused.stderr.count(said), "^" in refused.stderr) == (2, 1, False)


def test_the_administrators_own_key_is_replaced_in_its_file_too(alone: Cli) -> None:
    alone.run("keys", "list")
    file = alone.data_dir / "admin.key"
    old = file.read_text(encoding="ascii").strip()

    rotated = alone.run("keys", "rotate", "admin", "--keep", "0s")
    listed = alone.run("keys", "list")

    assert (rotated.returncode, file.read_text(encoding="ascii")) == (0, rotated.stdout)
    assert old != rotated.stdout.strip()
    assert "holds the new one now" in rotated.stderr
    assert (listed.returncode, "expired 20" in listed.stdout) == (0, True), listed.stderr
