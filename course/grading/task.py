"""`@task`: which task of its lesson a test belongs to."""

from collections.abc import Callable


def task(
    task_id: str, title: str = "", points: int = 1, needs: str | tuple[str, ...] = ()
) -> Callable:
    """Mark a test as part of a task. The first test of a task says its title, points and needs.

    `needs` names the tasks without which this one says nothing. `@task("id")` alone adds another
    test to a task: all of a task's tests must pass.
    """
    import pytest  # Here, since the runner imports this package without ever running a test.

    needed = (needs,) if isinstance(needs, str) else tuple(needs)
    return pytest.mark.task(task_id, title=title, points=points, needs=needed)
