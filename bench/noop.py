"""The agent of the benchmark: it does nothing."""


async def noop(task_data: dict[str, object]) -> dict[str, object]:
    """About a hundred bytes back."""
    return {"seen": len(task_data), "note": "n" * 80}
