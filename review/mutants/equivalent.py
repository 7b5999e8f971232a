"""Mutants that change nothing that a caller could notice, each with the reason.

A key that fits no mutant is told as an error, so that this table does not outlive the code.
"""

EQUIVALENT: dict[str, str] = {
    "tools/beneath.py open_by_kernel: `_RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS` becomes `_RESOLVE_BENEATH`": (
        "RESOLVE_BENEATH refuses magic links by itself today; openat2(2) says that this may change"
    ),
    "tools/root_posix.py PosixRoot: `opener or best_opener()` becomes `best_opener()`": (
        "the parameter is there for tests, which hold both openers to the same answers"
    ),
    "tools/root_posix.py PosixRoot: `self._descriptor >= 0` becomes `self._descriptor > 0`": (
        "descriptor 0 is the standard input, which a service never closes"
    ),
    "tools/root_posix.py PosixRoot: `durable` becomes `not durable`": (
        "only a power cut shows whether a write was synced"
    ),
    "tools/root_posix.py _CREATE: `os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW` becomes"
    " `os.O_WRONLY | os.O_CREAT | os.O_EXCL`": "O_EXCL follows no link either; the flag says what is meant",
    "network/addresses.py _is_among: `address.version == network.version and address in network` becomes"
    " `address in network`": "a network of the other version holds no address; the version is said for readers",
    "serve/auth.py Authentication: `if scope['type'] != 'http'` is passed over": (
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
