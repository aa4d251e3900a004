"""`make fuzz`: run each target, or those that are named, for a while under atheris. What breaks one is kept and named."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEEDS = {"walk": (ROOT / "tests" / "vectors" / "dicom", ROOT.parent / "shared" / "corpus"), "multipart": ()}
LONGEST = {"walk": 8192, "multipart": 512}
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0")


def main(seconds: str, *names: str) -> int:
    if find_spec("atheris") is None:
        print("atheris is not installed, and nothing was fuzzed: pip install atheris (Linux, Python 3.11 to 3.13)")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="filmroom-fuzz-"))
    codes = [_run(name, seconds, folder / name) for name in names or SEEDS]
    print(f"inputs and what broke a target: {folder}")
    return max(codes)


def _run(name: str, seconds: str, folder: Path) -> int:
    """Run one target in a process of its own, which atheris does not return from."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    files = sorted(file for seed in SEEDS[name] for file in seed.rglob("*") if file.is_file())
    for number, file in enumerate(files):
        if file.stat().st_size <= LONGEST[name]:
            (inputs / f"{number:04}").write_bytes(file.read_bytes())
    if name == "multipart":
        (inputs / "0000").write_bytes(b"A: 1\r\n\r\none\r\n--b:o-1\r\n\r\ntwo\r\n--b:o-1--\r\n")
    options = (f"-max_total_time={seconds}", f"-max_len={LONGEST[name]}", f"-artifact_prefix={folder}/")
    print(f"{name}: {sum(1 for _ in inputs.iterdir())} seeds, {seconds} s", flush=True)
    command = [sys.executable, "-m", "tests.fuzz", "--in-process", name, *LIMITS, *options, str(inputs)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _fuzz(name: str, *options: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["filmroom", "pydicom"]):
        from tests.fuzz.targets import TARGETS, WORDS
    words = Path(tempfile.mkdtemp()) / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS[name]), "ascii")
    atheris.Setup(["filmroom", f"-dict={words}", *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--in-process":
        _fuzz(*sys.argv[2:])
    else:
        sys.exit(main(*sys.argv[1:]))
