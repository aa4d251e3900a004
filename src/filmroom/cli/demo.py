"""demo: the whole story on real images, through the same `Room` that users hold.

It can be stopped at any moment and run again in the same room: every stage finds what the last run finished.
"""

import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from filmroom.canon import Json, plain
from filmroom.cli import demo_model
from filmroom.cli.demo_model import Batch
from filmroom.cli.session import Session, TerminalProgress
from filmroom.errors import Corrupt, Denied, LeaseEnded, Refused
from filmroom.ids import Zone
from filmroom.loader.data import Data
from filmroom.records import CaseState, Level
from filmroom.wiring import Room, init, open_room

PROJECT, SNAPSHOT, LABELS, MODEL = "demo", "demo@1", "demo-modality", "demo-classifier"
RESEARCHER, STEWARD = "dana", "sam"
SPLIT = "train=0.7,test=0.3"
_BATCH = 8
_SHOWN = 6


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="A folder of images of your own.")] = None,
    keep: Annotated[Path | None, typer.Option(metavar="ROOM", help="Keep the room here.")] = None,
) -> None:
    """Tell the whole story on real images, from import to trace."""
    session: Session = context.obj
    with _folder(keep) as folder, tempfile.TemporaryDirectory() as scratch:
        init(folder)
        with open_room(folder, progress=TerminalProgress()) as room:
            story = _Story(room, folder, Path(scratch), quiet=session.as_json)
            story.tell(data or Path(str(files("pydicom") / "data" / "test_files")))
        session.answer(story.figures, lambda: None)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="filmroom-demo-") as folder:
        yield Path(folder) / "room"


class _Story:
    """The stages in order. Each says what happens in a paragraph, and keeps its figures."""

    def __init__(self, room: Room, folder: Path, scratch: Path, *, quiet: bool) -> None:
        self._room = room
        self._folder = folder
        self._scratch = scratch
        self._console = Console(quiet=quiet, highlight=False, soft_wrap=False)
        self.figures: dict[str, Json] = {"room": str(folder)}

    def tell(self, source: Path) -> None:
        self._import(source)
        self._catalog()
        self._deidentify()
        self._freeze()
        self._build()
        lease = self._share()
        self._train(lease)
        self._trace()
        self._break(lease)
        self._farewell()

    def _import(self, source: Path) -> None:
        receipt = self._room.receive([source], source="demo-scanner")
        self._keep("import", receipt)
        self._say(
            "1. import",
            f"{receipt.received} files arrived, {receipt.bytes:,} bytes, and each is accounted for: "
            f"{receipt.stored} stored, {receipt.duplicate} duplicate, {receipt.conflict} conflict, "
            f"{receipt.quarantined} quarantined, {receipt.ignored} ignored ({receipt.seconds:.1f} s). "
            "Every stored object was sealed under its patient's own key before its row was written.",
        )
        cases = self._room.quarantine(state=CaseState.OPEN)
        if cases:
            self._say("", f"In quarantine, until somebody decides, are {len(cases)} cases. Some of the reasons:")
            words = Counter(reason.detail for case in cases for reason in case.reasons)
            self._list(words)

    def _catalog(self) -> None:
        series = self._room.query(level=Level.SERIES, select=["modality", "body_part"])
        instances = self._room.query(level=Level.INSTANCE, select=["modality"])
        kinds = Counter(f"{row['modality'] or '?'} {row['body_part'] or '(no body part)'}" for row in series.rows)
        filled = self._room.filled()
        share = {
            column: sum(each.filled for each in filled if each.column == column) / max(1, instances.count)
            for column in ("body_part", "manufacturer", "study_date", "age_years", "series_description")
        }
        self.figures["catalog"] = plain({"series": series.count, "instances": instances.count, "filled": share})
        self._say(
            "2. catalog",
            f"The catalog holds {instances.count} current instances in {series.count} series. By modality and body part:",
        )
        self._list(kinds)
        shares = ", ".join(f"{column} {value:.0%}" for column, value in share.items())
        self._say("", f"In how many instances its columns are filled: {shares}.")

    def _deidentify(self) -> None:
        self._room.project(PROJECT, purpose="to show what a filmroom does")
        run = self._room.deidentify(PROJECT)
        self._keep("deidentify", run)
        self._say(
            "3. deidentify, verify",
            f"For project {PROJECT!r}, of {run.instances} instances: {run.clean} copies are clean, {run.review} need eyes, "
            f"{run.refused} were refused, {run.already} were dealt with before ({run.seconds:.1f} s). A verifier that "
            f"shares no code with the de-identifier looked at {run.elements:,} elements and {run.frames:,} frames of them. "
            "Only what it passed entered the research zone. What it found, by code:",
        )
        self._list(Counter(run.findings))

    def _freeze(self) -> None:
        file = self._scratch / "labels.csv"
        rows = self._room.query(level=Level.SERIES, select=["series_uid", "modality"]).rows
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["series_instance_uid", "finding", "value"])
            writer.writerows([row["series_uid"], "modality", row["modality"]] for row in rows if row["modality"])
        labels = self._room.import_labels(file, name=LABELS, kind="model", by="rule-modality-from-header")
        frozen = self._room.freeze(
            PROJECT,
            project=PROJECT,
            labels=[LABELS],
            split=SPLIT,
            seed=7,
            allow_leak="samples are copies of each other",
        )
        self._keep("freeze", frozen)
        splits = ", ".join(f"{name} {count}" for name, count in frozen.splits.items())
        self._say(
            "4. freeze",
            f"Labels by a rule (what the header calls the modality) are in set {labels.set}@{labels.version}. "
            f"{frozen.snapshot} holds {frozen.instances} instances of {frozen.patients} patients, split by patient: "
            f"{splits}. Its root is\n  {frozen.root}",
        )
        for kind, count in frozen.leaks.items():
            self._say(
                "", f"Between its parts leaks {count} times: {kind}. Without a reason it would have been refused."
            )
        if frozen.left_out:
            self._say("", "What stayed out:")
            self._list(Counter(frozen.left_out))
        self._snapshot = str(frozen.snapshot)

    def _build(self) -> None:
        recipe = (files("filmroom.prepare") / "recipes" / "thumbnails.toml").read_text("utf-8")
        built = self._room.build(self._snapshot, recipe=recipe)
        # After the build, which mends what a run that was stopped in its last act left damaged.
        verdict = self._room.verify(self._snapshot)
        self._keep("build", built)
        self._keep("verify", verdict)
        repaired = f"; something was damaged, and {built.repaired} objects were written anew" if built.repaired else ""
        self._say(
            "5. build, verify",
            f"{built.samples} samples of 64 x 64 in Zarr v3 shards, {built.raw_bytes:,} bytes raw and {built.bytes:,} "
            f"stored and sealed ({built.seconds:.1f} s){repaired}. {len(built.failures)} images gave no sample.\n"
            f"Verified: {verdict.checked} things checked, {len(verdict.problems)} problems ({verdict.seconds:.1f} s).",
        )
        self._list(Counter(failure.detail for failure in built.failures))
        if not verdict.ok:
            raise Refused("the demo's snapshot does not verify", f"see filmroom verify {self._snapshot}")

    def _share(self) -> str:
        dana, sam = self._room.acting_as(RESEARCHER), self._room.acting_as(STEWARD)
        asked = dana.request(self._snapshot, purpose="train the demo's classifier", days=7)
        try:
            dana.approve(asked.id)
            raise Refused("the requester could approve her own request", "report this as a defect")
        except Denied as error:
            refusal = error.what
        granted = sam.approve(asked.id)
        lease = dana.lease(self._snapshot, minutes=30, job="demo-training")
        self._grant = granted.grant
        self._say(
            "6. request, approve, lease",
            f"{RESEARCHER} asks for {self._snapshot}. {RESEARCHER} cannot approve it: {refusal}. {STEWARD} can; the grant "
            f"ends {granted.expires:%Y-%m-%d}. {RESEARCHER}'s lease ends {lease.expires:%H:%M} UTC.",
        )
        return lease.lease

    def _train(self, lease: str) -> None:
        # Pseudonyms are drawn anew in every room, and of few patients all may fall into one part of the split.
        drawn = self._load(lease, None).splits
        train = self._load(lease, "train" if "train" in drawn else None)
        test = self._load(lease, "test") if "test" in drawn and "train" in drawn else None
        classes = _classes(train)
        model = demo_model.train(lambda epoch: _batches(train, classes, epoch), 64 * 64 + 1, classes)
        accuracy = model.accuracy(_batches(test, classes, 0)) if test else float("nan")
        judged = (
            f"{len(test)} test samples of other patients, accuracy {accuracy:.2f}"
            if test
            else "all patients fell into one part of the split, so there is nothing to test it on"
        )
        artifact, metrics = self._scratch / "model.npz", self._scratch / "metrics.json"
        artifact.write_bytes(model.artifact)
        metrics.write_text(f'{{"loss": {model.loss:.4f}, "test_accuracy": "{accuracy:.3f}"}}', "utf-8")
        made = self._room.acting_as(RESEARCHER).model(
            MODEL, snapshot=self._snapshot, artifact=artifact, metrics=metrics, lease=lease
        )
        self._model = str(made.ref)
        self._keep("model", made)
        self._say(
            "7. load, train, register",
            f"Through the lease, {model.engine} learned to tell {', '.join(classes) or 'nothing'} apart from {len(train)} "
            f"samples in {demo_model.EPOCHS} epochs (loss {model.loss:.3f}); {judged}. "
            f"Registered as {made.ref}, {made.digest}.",
        )

    def _trace(self) -> None:
        found = self._room.trace(f"model:{self._model}")
        answers = found.answers
        code = answers.code[0]
        packages = code["packages"]
        assert isinstance(packages, dict)
        self._keep("answers", answers)
        versions = ", ".join(f"{name} {version}" for name, version in packages.items())
        self._say(
            "8. trace",
            f"Four questions about {self._model}, answered from the catalog:\n"
            f"  Which studies?  {len(answers.studies)} studies, the first is {answers.studies[0]}\n"
            f"  Which labels?   {', '.join(answers.labels)}\n"
            f"  Which code and parameters?  recipe {code['recipe']}, by {versions}\n"
            f"  Which model, seen by whom?  {', '.join(answers.models)}; leases of "
            f"{', '.join(sorted({each['holder'] for each in answers.access}))}",
        )

    def _break(self, lease: str) -> None:
        with _flipped_byte(self._shard()):
            try:
                for _ in self._load(lease, None):
                    pass
                raise Refused("a damaged shard was read", "report this as a defect")
            except Corrupt as error:
                damage = error.what
        data = self._load(lease, None)
        data[0]
        self._room.acting_as(STEWARD).revoke(self._grant)
        try:
            data[0]
            raise Refused("a revoked lease could still read", "report this as a defect")
        except LeaseEnded as error:
            refusal = error.what
        verdict = self._room.verify_audit()
        self._keep("audit", verdict)
        if not verdict.ok:
            raise Refused("the audit log does not verify", "see filmroom audit verify")
        self._say(
            "",
            f"A byte of a shard is flipped, and the reader says: {damage}.\n"
            f"The grant is revoked, and the next read says: {refusal}.\n"
            f"The audit log verifies: {verdict.size} entries, root {verdict.root}.",
        )

    def _farewell(self) -> None:
        self._say(
            "9. with your own images",
            "  filmroom init room && filmroom import YOUR_FOLDER --source ct-1\n"
            "  filmroom project create NAME --purpose TEXT && filmroom deidentify --project NAME\n"
            "  filmroom freeze NAME --project NAME --split train=0.8,test=0.2 && filmroom build NAME@1 --recipe FILE\n"
            "  filmroom --as YOU request NAME@1 --purpose TEXT --days 30, then filmroom --as OTHER approve ID\n"
            "  filmroom --as YOU lease NAME@1, then in Python: filmroom.load('NAME@1', room='room', lease=TOKEN)",
        )

    def _load(self, lease: str, split: str | None) -> Data:
        return self._room.acting_as(RESEARCHER).load(self._snapshot, lease=lease, split=split)

    def _shard(self) -> Path:
        """Return a shard's file in the demo's own room."""
        build = self.figures["build"]
        assert isinstance(build, dict)
        path = self._folder / "zones" / Zone.RESEARCH / str(build["path"]) / "a" / "00000" / "c"
        # Shards are numbers; what a build that was killed left half written is not.
        return next(file for file in sorted(path.rglob("[0-9]*")) if file.is_file())

    def _keep(self, stage: str, record: object) -> None:
        self.figures[stage] = plain(record)

    def _say(self, title: str, text: str) -> None:
        if title:
            self._console.print(f"\n[bold]{title}[/bold]")
        self._console.print(text, markup=False)

    def _list(self, counts: Mapping[str, int]) -> None:
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        for what, count in most[:_SHOWN]:
            self._console.print(f"  {count:4} x {what}", markup=False)
        if len(most) > _SHOWN:
            self._console.print(f"  ... and {len(most) - _SHOWN} more kinds", markup=False)


@contextmanager
def _flipped_byte(file: Path) -> Iterator[None]:
    """Flip a bit in the middle of a file, and put it back."""
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    try:
        yield
    finally:
        file.write_bytes(whole)


def _classes(data: Data) -> tuple[str, ...]:
    return tuple(sorted({str(data[number].labels.get("modality") or "?") for number in range(len(data))}))


def _batches(data: Data, classes: tuple[str, ...], epoch: int) -> Iterator[Batch]:
    """Yield features and class numbers; samples of a class that training never saw count as wrong (-1)."""
    for batch in data.batches(_BATCH, seed=7, epoch=epoch):
        names: NDArray[np.str_] = batch.labels["modality"].astype(np.str_)
        numbers = np.array([classes.index(name) if name in classes else -1 for name in names], np.int64)
        yield demo_model.design(batch.image), numbers
