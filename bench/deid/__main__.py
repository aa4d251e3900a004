"""`python -m bench.deid plant FOLDER` and `python -m bench.deid score KEY PLANTED FOLDER [NAMES]`.

NAMES is a JSON document for a tool that names its files anew: {"released": {planted name: name in FOLDER}, "said":
{planted name: "review" or "refused"}}. Without it, files have the names that they had, and one that is not there is gone
without a word. A score lists every leak and every over-scrub.
"""

import json
import sys
from pathlib import Path

from bench.deid import COUNT, SEED, figures, key, plant, shown
from bench.deid.output import Output, in_folder
from bench.figures import print_table


def main(arguments: list[str]) -> int:
    match arguments:
        case ["plant", folder]:
            made = plant(Path(folder), COUNT, SEED)
            print(f"{len(made.files)} files, {len(made.plants)} plants; the key is {folder}.key.json")
        case ["score", answers, planted, folder, *names] if len(names) < 2:
            _score(key.read(Path(answers)), Path(planted), _output(Path(folder), names))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _output(folder: Path, names: list[str]) -> Output:
    if not names:
        return in_folder(folder)
    told = json.loads(Path(names[0]).read_text(encoding="utf-8"))
    released = {planted: folder / name for planted, name in told["released"].items()}
    return Output(tool="folder", folder=folder, released=released, said=told.get("said", {}))


def _score(answers: key.AnswerKey, planted: Path, output: Output) -> None:
    listed, found = figures(answers, output, shown(answers, planted))
    print_table(str(output.folder), listed)
    for leak in [*found.leaks, *found.others]:
        print(f"leak\t{leak.place}\t{leak.attribute}\t{leak.file}")
    for miss in found.tally.misses:
        print(f"{miss.action}\t{miss.place}\t{miss.file}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
