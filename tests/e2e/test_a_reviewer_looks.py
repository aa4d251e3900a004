"""`filmroom review`: who decides gets the frames as a file of their own, and the decision stands."""

import stat
from pathlib import Path


def test_a_reviewer_is_given_a_page_for_their_eyes_only_and_decides(filmroom, pydicom_files: Path, tmp_path) -> None:
    filmroom("import", pydicom_files / "test_files" / "SC_rgb_jpeg_gdcm.dcm", "--source", "ward", "--json")
    filmroom("project", "create", "lung", "--purpose", "find nodules", "--json")
    assert filmroom("deidentify", "--project", "lung", "--json").json["review"] == 1
    [waiting] = filmroom("review", "list", "--json").json
    page = tmp_path / "page.html"
    shown = filmroom("review", "show", waiting["id"], "--pictures", page, "--json").json
    assert shown["id"] == waiting["id"]
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert page.read_text().count("data:image/png;base64,") == 2
    filmroom("review", "decide", waiting["id"], "--pass", "--why", "colours only", "--json")
    page.unlink()
    refused = filmroom("review", "show", waiting["id"], "--pictures", page, status=1)
    assert "does not wait" in refused.stderr and not page.exists()
