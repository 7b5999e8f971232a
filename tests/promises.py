"""The promises of the database, as queries for what breaks them: for the tests and for the chaos harness alike.

The statements run on SQLite, PostgreSQL and MariaDB: plain SQL, but for how a number or a text is read out of JSON,
which `rules` puts in.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

FINAL = "('completed','failed','canceled')"
TERMINAL = "('task.completed','task.failed','task.canceled')"

READING: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "sqlite": {
            "json_number": r"json_extract(\1, '$.\2')",
            "json_text": r"json_extract(\1, '$.\2')",
            "holds": r"(instr(\1, \2) > 0)",
        },
        "postgresql": {
            "json_number": r"CAST(\1 ->> '\2' AS bigint)",
            "json_text": r"(\1 ->> '\2')",
            "holds": r"(strpos(CAST(\1 AS text), \2) > 0)",
        },
        "mysql": {
            "json_number": r"CAST(json_value(\1, '$.\2') AS signed)",
            "json_text": r"json_value(\1, '$.\2')",
            "holds": r"(instr(\1, \2) > 0)",
        },
    }
)
"""How each kind of database reads a member of a JSON column, and sees whether a column's text holds another text."""


def rules(database: str) -> list[tuple[str, str]]:
    """What is promised, and a query for what breaks it, in the words of this kind of database."""
    found: list[tuple[str, str]] = []
    for promise, statement in PROMISES:
        for word, told in READING[database].items():
            statement = re.sub(rf"{word}\(([\w.]+), '?([\w.]+)'?\)", told, statement)
        found.append((promise, statement))
    return found


PROMISES = [
    (
        "a task knows the sum of its ledger: of its tree when it is a root, else its own",
        """
        SELECT t.id, t.usd_nanos_spent, t.tokens_spent FROM agent_tasks t LEFT JOIN task_charges c
          ON CASE WHEN t.parent_id IS NULL THEN c.root_id = t.id ELSE c.task_id = t.id END
        GROUP BY t.id
        HAVING t.usd_nanos_spent
            <> sum(CASE WHEN c.status = 'reserved' THEN c.reserved_usd_nanos ELSE coalesce(c.usd_nanos, 0) END)
            OR t.tokens_spent <> sum(CASE c.status WHEN 'released' THEN 0
                 WHEN 'settled' THEN c.input_tokens + c.output_tokens ELSE coalesce(c.reserved_tokens, 0) END)
        """,
    ),
    (
        "a tenant's day is the sum of its ledger",
        """
        SELECT d.tenant, d.day, d.usd_nanos FROM tenant_days d LEFT JOIN task_charges c
          ON c.tenant = d.tenant AND c.day = d.day GROUP BY d.tenant, d.day
        HAVING d.usd_nanos
            <> sum(CASE WHEN c.status = 'reserved' THEN c.reserved_usd_nanos ELSE coalesce(c.usd_nanos, 0) END)
        """,
    ),
    (
        "an ended task has no call under way in its ledger",
        f"""
        SELECT c.task_id, c.path FROM task_charges c JOIN agent_tasks t ON t.id = c.task_id
        WHERE c.status = 'reserved' AND t.status IN {FINAL}
        """,  # noqa: S608 - constants of this module
    ),
    (
        "a task's events are numbered from 1 without a gap, and its row knows the last number",
        """
        SELECT t.id, t.last_event, count(e.sequence), min(e.sequence), max(e.sequence)
        FROM agent_tasks t LEFT JOIN task_events e ON e.task_id = t.id GROUP BY t.id
        HAVING count(e.sequence) <> t.last_event OR min(e.sequence) <> 1 OR max(e.sequence) <> t.last_event
        """,
    ),
    (
        "an event belongs to a task",
        "SELECT task_id, kind FROM task_events WHERE task_id NOT IN (SELECT id FROM agent_tasks)",
    ),
    (
        "a task ends once, and once more each time that it was reopened",
        f"""
        SELECT t.id, t.status, sum(CASE WHEN e.kind IN {TERMINAL} THEN 1 ELSE 0 END),
               sum(CASE WHEN e.kind = 'task.reopened' THEN 1 ELSE 0 END)
        FROM agent_tasks t JOIN task_events e ON e.task_id = t.id GROUP BY t.id
        HAVING sum(CASE WHEN e.kind IN {TERMINAL} THEN 1 ELSE 0 END)
            <> sum(CASE WHEN e.kind = 'task.reopened' THEN 1 ELSE 0 END)
               + CASE WHEN t.status IN {FINAL} THEN 1 ELSE 0 END
        """,  # noqa: S608 - constants of this module
    ),
    (
        "the last event of an ended task is its end",
        f"""
        SELECT t.id, t.status, e.kind
        FROM agent_tasks t JOIN task_events e ON e.task_id = t.id AND e.sequence = t.last_event
        WHERE (t.status IN {FINAL}) <> (e.kind IN {TERMINAL})
           OR (t.status IN {FINAL} AND replace(e.kind, 'task.', '') <> t.status)
        """,  # noqa: S608 - constants of this module
    ),
    (
        "below an ended task nothing goes on that was not told to stop",
        f"""
        SELECT p.id, p.status, c.id, c.status FROM agent_tasks p JOIN agent_tasks c ON c.parent_id = p.id
        WHERE p.status IN {FINAL} AND c.status NOT IN {FINAL} AND c.cancel_requested_at IS NULL
        """,  # noqa: S608 - constants of this module
    ),
    (
        "who waits for children has one that has not ended",
        f"""
        SELECT p.id FROM agent_tasks p WHERE p.status = 'waiting' AND p.reason = 'children' AND NOT EXISTS
        (SELECT 1 FROM agent_tasks c WHERE c.parent_id = p.id AND c.status NOT IN {FINAL})
        AND NOT EXISTS (SELECT 1 FROM task_steps s WHERE s.task_id = p.id AND s.status = 'open'
                        AND s.kind <> 'delegation')
        """,  # noqa: S608 - constants of this module
    ),
    (
        "who waits for an answer has an open question",
        """
        SELECT t.id FROM agent_tasks t WHERE t.status = 'waiting' AND t.reason = 'question' AND NOT EXISTS
        (SELECT 1 FROM task_steps s WHERE s.task_id = t.id AND s.kind = 'question' AND s.status = 'open')
        """,
    ),
    (
        "a tree's budget is what its tasks have used, and never more than the limit",
        """
        SELECT r.id, r.steps_spent, r.children_spent,
               json_number(r.budget, 'steps'), json_number(r.budget, 'children')
        FROM agent_tasks r WHERE r.parent_id IS NULL AND (
            r.steps_spent > json_number(r.budget, 'steps')
            OR r.children_spent > json_number(r.budget, 'children')
            OR r.children_spent <> (SELECT count(*) - 1 FROM agent_tasks t WHERE t.root_id = r.id)
            OR r.steps_spent < (SELECT count(*) FROM task_steps s JOIN agent_tasks t ON t.id = s.task_id
                                WHERE t.root_id = r.id))
        """,
    ),
    (
        "a tree that nobody retried has paid for each of its steps once",
        """
        SELECT r.id, r.steps_spent FROM agent_tasks r WHERE r.parent_id IS NULL
        AND NOT EXISTS (SELECT 1 FROM task_events e JOIN agent_tasks t ON t.id = e.task_id
                        WHERE t.root_id = r.id AND e.kind IN ('task.reopened', 'task.deferred'))
        AND r.steps_spent <> (SELECT count(*) FROM task_steps s JOIN agent_tasks t ON t.id = s.task_id
                              WHERE t.root_id = r.id)
        """,
    ),
    (
        "no task is deeper than its tree may be",
        """
        SELECT t.id, t.depth FROM agent_tasks t JOIN agent_tasks r ON r.id = t.root_id
        WHERE t.depth > json_number(r.budget, 'depth')
        """,
    ),
    (
        "a child's step tells of it",
        """
        SELECT c.id FROM agent_tasks c WHERE c.parent_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM task_events e WHERE e.task_id = c.parent_id AND e.kind = 'task.delegated'
         AND holds(e.data, c.id))
        """,
    ),
    (
        "a step is finished once",
        """
        SELECT e.task_id, json_text(e.data, 'path'), count(*) FROM task_events e
        WHERE e.kind = 'step.finished' AND NOT EXISTS
        (SELECT 1 FROM task_events x WHERE x.task_id = e.task_id
         AND x.kind IN ('task.reopened', 'task.deferred'))
        GROUP BY e.task_id, json_text(e.data, 'path') HAVING count(*) > 1
        """,
    ),
]
"""As `rules` gives them, before json_number, json_text and holds are put in."""
