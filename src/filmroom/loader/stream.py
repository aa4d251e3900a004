"""Batches ahead of their consumer: threads that each fill a whole batch into a recycled buffer.

A thread takes a batch, not an item, because handing out items costs more than decoding them. Rules: a batch gets its
buffer before it gets a thread, in the order of the plan, so the lowest outstanding batch always owns a buffer and nothing
can wait for ever; results come in the order of the plan, whatever the number of threads; an error of a thread is raised
where its batch would have come; leaving early leaves no thread.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Work = TypeVar("Work")
Buffer = TypeVar("Buffer")
Result = TypeVar("Result")


def prefetch(
    plan: Iterator[Work], fill: Callable[[Work, Buffer], Result], buffers: Sequence[Buffer], threads: int
) -> Generator[Result, None, None]:
    """Yield `fill(work, buffer)` for each work of `plan`, in order, on that many threads.

    A buffer is used again once the result that it was filled for is no longer the latest one yielded.
    """
    free = deque(buffers)
    pending: deque[tuple[Future[Result], Buffer]] = deque()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="filmroom-loader")
    try:
        while True:
            while free:
                work = next(plan, None)
                if work is None:
                    break
                buffer = free.popleft()
                pending.append((pool.submit(fill, work, buffer), buffer))
            if not pending:
                return
            future, buffer = pending.popleft()
            yield future.result()
            free.append(buffer)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
