"""Names that are paths stay inside, and nothing is written into or replaced that this tool did not make."""

from pathlib import Path

import pytest

from mpox.data.manifest import read_manifest
from mpox.errors import UserError
from mpox.places import MARKER, check_apart, check_replaceable, claim, folder_name, inside


@pytest.mark.parametrize("name", ["a", "2024", "my study", "it's", "天然痘", "a.b", "-m", "x=y, [z]", 2024])
def test_names_of_one_folder_are_taken(name: object, tmp_path: Path) -> None:
    (tmp_path / folder_name("study", name)).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [str(name)]


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../x", "/x", "a/b", "a\\b", "C:\\x", ".cache", " a", "a "),
        *("a\nb", "a\0b", "a\x1b[2J", "caf\udce9", "a" * 201, "天" * 70, "external"),
    ],
)
def test_others_are_refused_in_a_line(name: str) -> None:
    with pytest.raises(UserError, match=r"(?s)study=.*give study=") as raised:
        folder_name("study", name, reserved=("external",))
    assert "Errno" not in str(raised.value)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "..\\x", "\\\\host\\x", ".."])
def test_paths_that_others_wrote_stay_below_their_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leads out of"):
        inside(tmp_path, path, "contract.json")
    for row in (f"{path},mpox,", f"a.jpg,mpox,{path}"):
        (tmp_path / "m.csv").write_text(f"path,label,mask\nb.jpg,mpox,\n{row}\n")
        with pytest.raises(UserError, match=r"m\.csv: .*leads out of the folder"):
            read_manifest(tmp_path / "m.csv", root=tmp_path)
        if Path(path).anchor or ".." in Path(path).parts:  # where this machine reads it so
            with pytest.raises(UserError, match=r"m\.csv: .*leads out of the folder.*1 such"):
                read_manifest(tmp_path / "m.csv")


def test_dots_within_names_lead_nowhere(tmp_path: Path) -> None:
    assert inside(tmp_path, "a..b/c...jpg", "x") == tmp_path / "a..b" / "c...jpg"


def test_runs_are_kept_apart_from_photos(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos)
    for place in (photos, photos / "runs", tmp_path / "link" / "runs", photos / "mpox" / ".." / "runs"):
        with pytest.raises(UserError, match=r"runs_dir=.*photos.*give runs_dir="):
            check_apart("runs_dir", place, photos)
    check_apart("runs_dir", tmp_path / "runs", photos)
    check_apart("runs_dir", tmp_path, photos)  # photos below it, such as the synthetic ones
    check_apart("runs_dir", tmp_path / "photos-runs", photos)
    check_apart("runs_dir", photos / "runs", photos, listed=True)  # a manifest says which files are photos
    with pytest.raises(UserError, match="is the folder of the photos"):
        check_apart("runs_dir", photos, photos, listed=True)


def test_a_folder_that_holds_anything_else_is_not_taken(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "review.html").write_text("my own")
    with pytest.raises(UserError, match=r"output=.*mine holds files that this tool did not write \(review\.html\)"):
        claim(mine, "audit", "output")
    assert [path.name for path in mine.iterdir()] == ["review.html"]
    with pytest.raises(UserError, match="is a file"):
        claim(mine / "review.html", "audit", "output")
    ours = tmp_path / "ours"
    claim(ours, "audit", "output")
    (ours / "decisions.csv").write_text("the user's, put there")
    claim(ours, "audit", "output")  # again
    with pytest.raises(UserError, match="holds this tool's audit"):
        claim(ours, "something else", "output")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    claim(tmp_path / "empty", "audit", "output")
    assert (tmp_path / "empty" / MARKER).is_file()


def test_only_what_is_wholly_ours_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    (folder / "golden").mkdir(parents=True)
    (folder / "golden" / "a.png").touch()
    listed = {"golden/a.png", "model.pte"}
    check_replaceable(folder, listed.__contains__, "export", "name")
    (folder / "golden" / "notes.txt").write_text("a person's")
    with pytest.raises(UserError, match=r"did not write \(golden/notes\.txt\)"):
        check_replaceable(folder, listed.__contains__, "export", "name")
    (folder / "golden" / "notes.txt").unlink()
    (folder / "model.pte").symlink_to(tmp_path)  # a link to a folder of others, under a name of ours
    check_replaceable(folder, listed.__contains__, "export", "name")
    (folder / "elsewhere").symlink_to(tmp_path)
    with pytest.raises(UserError, match="elsewhere"):
        check_replaceable(folder, listed.__contains__, "export", "name")
