"""review: copies that need eyes, and the decision of who looked."""

from dataclasses import replace

from filmroom.deid import faces, sidebyside, verify
from filmroom.deid import profile as profiles
from filmroom.dicom import parse
from filmroom.errors import Refused
from filmroom.flow import evidence
from filmroom.flow.deidentify import extent_of, in_words, review_name, review_subject, signed, slices_of
from filmroom.flow.sealed import SealedZone, project_subject
from filmroom.ids import Digest, Zone
from filmroom.ports import Ports
from filmroom.records import Copy, CopyState


def reviews(ports: Ports) -> list[Copy]:
    """List the copies that wait for a decision."""
    evidence.authorize(ports, "review")
    with ports.catalog.read() as tx:
        return tx.copies.all(state=CopyState.REVIEW)


def show_review(ports: Ports, copy: int) -> Copy:
    """Show one copy. Raises NotFound."""
    evidence.authorize(ports, "review", {"kind": "copy", "id": str(copy)})
    with ports.catalog.read() as tx:
        return tx.copies.get(copy)


def picture_review(ports: Ports, copy: int) -> str:
    """Return a page, HTML, with frames of a waiting copy beside those of its source: clinical, and written down.

    Raises NotFound, Refused when the copy is not waiting, Unreadable when it is no image that can be decoded.
    """
    permit = evidence.authorize(ports, "review", {"kind": "copy", "id": str(copy)})
    with ports.catalog.read() as tx:
        waiting = tx.copies.get(copy)
        source = tx.instances.get(waiting.source)
    digest = _awaited(waiting)
    clinical = SealedZone(ports, Zone.CLINICAL)
    before = parse.read(clinical.get_content(source.digest, source.subject))
    after = parse.read(clinical.get(review_name(clinical, digest), review_subject(waiting)))
    numbers = sidebyside.numbers(after)
    page = sidebyside.page(waiting, before, after, numbers, ports.readers.second if ports.readers else None)
    with ports.catalog.write() as tx:
        outcome: dict[str, int | str] = {"state": "pictured", "frames": len(numbers)}
        evidence.record(tx, ports, permit, {"kind": "copy", "id": str(copy)}, outcome)
    return page


def _awaited(copy: Copy) -> Digest:
    """Return the digest of the bytes that wait. Raises Refused when none do."""
    if copy.state is not CopyState.REVIEW or copy.digest is None:
        raise Refused(f"this copy is {copy.state}, it does not wait for a decision", "see filmroom review list")
    return copy.digest


def decide_review(ports: Ports, copy: int, *, passed: bool, why: str) -> Copy:
    """Pass or refuse a waiting copy; nobody needs to look at it any more, so what was kept for that is deleted.

    Passing verifies it again: a reviewer can answer for what only eyes can see, and for nothing else. Raises Refused
    when the copy is not waiting or when the verifier finds more than that.
    """
    permit = evidence.authorize(ports, "review", {"kind": "copy", "id": str(copy)})
    with ports.catalog.read() as tx:
        waiting = tx.copies.get(copy)
        source = tx.instances.get(waiting.source)
        profile = profiles.load(tx.projects.get(waiting.project).profile)
    digest = _awaited(waiting)
    decided = replace(waiting, state=CopyState.REFUSED)
    clinical, research = SealedZone(ports, Zone.CLINICAL), SealedZone(ports, Zone.RESEARCH)
    kept = review_name(clinical, digest)
    if passed:
        data = clinical.get(kept, review_subject(waiting))
        forbidden = verify.identifiers(clinical.get_content(source.digest, source.subject), slices_of(waiting))
        second = ports.readers.second if ports.readers else None
        match verify.passed_by_reviewer(data, forbidden, profile, permit.actor.name, second, extent_of(waiting)):
            case verify.Passed() as verdict:
                decided = signed(ports, waiting, verdict)
            case verify.Residue() as residue:
                what = ", ".join(sorted({reason.code for reason in in_words(residue.findings)}))
                raise Refused(f"the verifier finds more than eyes can answer for: {what}", "refuse it instead")
        subject = project_subject(waiting.project, waiting.subject)
        research.ensure([subject])
        research.put(research.name_of(digest), subject, data)
    decided = replace(decided, decided_by=permit.actor.name, why=why)
    with ports.catalog.write() as tx:
        if tx.copies.get(copy).state is not CopyState.REVIEW:
            raise Refused("somebody else decided in the meantime", "see filmroom review show")
        tx.copies.put([decided])
        evidence.record(tx, ports, permit, {"kind": "copy", "id": str(copy)}, {"state": decided.state})
        settled = tx.copies.get(copy)
        # Another profile or verifier may have made the same bytes, which wait for a decision of their own.
        needed = any(other.state is CopyState.REVIEW for other in tx.copies.by_digest([digest]))
    if not needed:
        ports.objects[Zone.CLINICAL].delete(kept)
    return settled


def decide_series(ports: Ports, copy: int, *, passed: bool, why: str) -> list[Copy]:
    """Decide alike about a waiting copy and the others of its series that wait for what one look answers for all of them.

    That is which part of the body they show. Each is verified and written down for itself; those that were decided before one
    is refused stay so. Raises what `decide_review` does, and Refused for a copy that waits for anything else.
    """
    evidence.authorize(ports, "review", {"kind": "copy", "id": str(copy)})
    with ports.catalog.read() as tx:
        first = tx.copies.get(copy)
        waiting = tx.copies.all(project=first.project, state=CopyState.REVIEW)
    if {reason.code for reason in first.reasons} != {faces.NOT_EXCLUDED}:
        what = "this copy waits for something that each picture has to be looked at for, or for nothing"
        raise Refused(what, "decide about it by itself")
    same = (first.series_uid, first.profile, first.verifier, first.reasons)
    alike = [each for each in waiting if (each.series_uid, each.profile, each.verifier, each.reasons) == same]
    return [decide_review(ports, each.id, passed=passed, why=why) for each in alike if each.id is not None]
