"""batches: deliveries and their ledgers."""

from dataclasses import dataclass

from filmroom.flow import evidence
from filmroom.ports import Ports
from filmroom.records import Batch, LedgerRow, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """A delivery with its counts. `closed_at` is empty while it goes on, or when it was interrupted."""

    batch: Batch
    received: int
    counts: dict[Outcome, int]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLedger:
    batch: Batch
    ledger: tuple[LedgerRow, ...]


def batches(ports: Ports) -> list[BatchSummary]:
    """List every delivery, oldest first."""
    evidence.authorize(ports, "batches")
    with ports.catalog.read() as tx:
        return [
            BatchSummary(batch=batch, received=sum(counts.values()), counts=counts, bytes=size)
            for batch, counts, size in tx.batches.all()
        ]


def show_batch(ports: Ports, batch: str) -> BatchLedger:
    """Show a delivery with a row an object. Raises NotFound."""
    evidence.authorize(ports, "batches", {"kind": "batch", "id": batch})
    with ports.catalog.read() as tx:
        return BatchLedger(batch=tx.batches.get(batch), ledger=tuple(tx.batches.ledger(batch)))
