"""How many actions were right, and which were not."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Miss:
    """An action that was not done, or overdone."""

    action: str
    file: str
    place: str


@dataclass(slots=True)
class Tally:
    passed: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    misses: list[Miss] = field(default_factory=list)

    def count(self, action: str, passes: bool, file: str, place: str) -> None:
        self.total[action] += 1
        if passes:
            self.passed[action] += 1
        else:
            self.misses.append(Miss(action, file, place))

    def share(self, *actions: str) -> float:
        """Return the share in percent of what was right of these actions, or of all."""
        chosen = actions or tuple(self.total)
        total = sum(self.total[action] for action in chosen)
        return 100 * sum(self.passed[action] for action in chosen) / total if total else 100.0
