"""reidentify, countersign: one person asks whom one pseudonym stands for, two others agree, and every look is written down.

What was agreed to ends after a day. The answer names one patient; there is no verb that gives two.
"""

from dataclasses import replace
from datetime import timedelta

from filmroom.errors import Invalid, NotFound, Refused
from filmroom.flow import evidence
from filmroom.flow.crosswalk import Crosswalk
from filmroom.ports import Ports
from filmroom.records import PatientIdentity, Question, RequestState

APPROVALS = 2
_OPEN_FOR = timedelta(days=1)


def ask(ports: Ports, pseudonym: str, *, project: str, why: str) -> Question:
    """Ask whom a pseudonym stands for. Raises NotFound for one that the project does not have, Invalid without a reason."""
    permit = evidence.authorize(ports, "reidentify", {"kind": "project", "id": project})
    if not why.strip():
        raise Invalid("asking who a patient is needs a reason", "say in a sentence why the hospital has to know")
    with ports.catalog.read() as tx:
        tx.projects.get(project)
    if not Crosswalk(ports, project).holds(pseudonym):
        raise NotFound(
            "the project has no such pseudonym", "copy it whole, as a manifest or a copy's Patient ID has it"
        )
    question = Question(
        id=f"question-{ports.entropy.draw(6).hex()}",
        project=project,
        pseudonym=pseudonym,
        requester=permit.actor,
        why=why,
        at=ports.clock.now(),
    )
    with ports.catalog.write() as tx:
        tx.questions.add(question)
        evidence.record(tx, ports, permit, _what(question), {"state": question.state}, row=question)
    return question


def countersign(ports: Ports, question: str, *, passed: bool = True, why: str = "") -> Question:
    """Agree to a question, or turn it down, which one may do alone.

    Raises Denied for one's own question, Refused for a second answer of the same person or a question that is settled.
    """
    with ports.catalog.read() as tx:
        asked = tx.questions.get(question)
    resource = {"kind": "question", "id": asked.id, "requester": asked.requester.name}
    permit = evidence.authorize(ports, "countersign", resource)
    if not passed and not why.strip():
        raise Invalid("turning a question down needs a reason", "say in a sentence what speaks against it")
    now = ports.clock.now()
    with ports.catalog.write() as tx:
        asked = tx.questions.get(question)
        if asked.state is not RequestState.WAITING:
            raise Refused(f"the question is {asked.state} already", "a decision stands")
        if permit.actor.name in {each.name for each in asked.agreed}:
            raise Refused("you have agreed to this question before", "somebody else has to agree as well")
        if not passed:
            answered = replace(asked, state=RequestState.DENIED, decided_at=now, turned_down=why)
        else:
            answered = replace(asked, agreed=(*asked.agreed, permit.actor))
            if len(answered.agreed) == APPROVALS:
                answered = replace(answered, state=RequestState.APPROVED, decided_at=now, expires=now + _OPEN_FOR)
        tx.questions.put(answered)
        outcome: dict[str, int | str] = {"state": answered.state, "agreed": len(answered.agreed)}
        evidence.record(tx, ports, permit, _what(answered), outcome, row=answered)
    return answered


def answer(ports: Ports, question: str) -> PatientIdentity:
    """Say whom the pseudonym stands for, to who asked. It is written down before the vault is opened.

    Raises Denied for somebody else's question or when the day is over, Refused when two have not agreed to it, and
    KeyGone for a patient who was erased.
    """
    with ports.catalog.read() as tx:
        asked = tx.questions.get(question)
    resource = {"kind": "question", "id": asked.id, "holder": asked.requester.name}
    if asked.expires is not None:
        resource["expires"] = str(int(asked.expires.timestamp()))
    permit = evidence.authorize(ports, "reidentify", resource)
    if asked.state is not RequestState.APPROVED:
        missing = APPROVALS - len(asked.agreed)
        what = "was turned down" if asked.state is RequestState.DENIED else f"lacks {missing} of {APPROVALS} agreements"
        raise Refused(f"the question {what}", f"others than you have to run: filmroom countersign {asked.id}")
    with ports.catalog.write() as tx:
        evidence.record(tx, ports, permit, _what(asked), {"state": "opened"})
    return Crosswalk(ports, asked.project).open(asked.pseudonym)


def questions(ports: Ports) -> list[Question]:
    """List the questions, oldest first."""
    evidence.authorize(ports, "reidentify")
    with ports.catalog.read() as tx:
        return tx.questions.all()


def _what(question: Question) -> dict[str, str]:
    return {"kind": "question", "id": question.id, "project": question.project, "pseudonym": question.pseudonym}
