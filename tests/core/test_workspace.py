"""The library's shelves: nothing outside the roots, nothing lost without a way back, archives unpacked safely."""

import io
import zipfile
from pathlib import Path

import pytest
import torch

from core import run, workspace
from core.data import native, read
from core.fusion import released
from core.workspace import Workspace
from tests import world
from tests.command import command
from tests.core.data import hostile
from tests.core.data.made import feature_folder
from tests.core.data.test_native import made


def test_only_folders_below_the_roots_may_be_added(tmp_path: Path) -> None:
    (tmp_path / "open/in").mkdir(parents=True)
    (tmp_path / "closed").mkdir()
    (tmp_path / "open/way-out").symlink_to(tmp_path / "closed")
    roots, own = [tmp_path / "open"], tmp_path / "open/workspace"
    assert Workspace(own).allowed(str(tmp_path / "open/in"), roots) == tmp_path / "open/in"
    for path in ("closed", "open/../closed", "open/way-out", "open-not", "closed/unknown"):
        with pytest.raises(ValueError, match="outside the folders that may be read"):
            Workspace(own).allowed(str(tmp_path / path), roots)
    for path in ("open/gone", "open/" + "x" * 300):
        with pytest.raises(ValueError, match="no such file"):
            Workspace(own).allowed(str(tmp_path / path), roots)
    (own / "uploads/of-others").mkdir(parents=True)
    for path in ("open/workspace/uploads/of-others", "open/workspace", "open"):
        with pytest.raises(ValueError, match="is the workspace or holds it"):
            Workspace(own).allowed(str(tmp_path / path), roots)
    for path in ("", "a\0b"):
        with pytest.raises(ValueError, match="give the path"):
            Workspace(own).allowed(path, roots)


def test_what_is_thrown_away_can_be_put_back(tmp_path: Path) -> None:
    native.write(made(), tmp_path / "data/made")
    (tmp_path / "runs/other").mkdir(parents=True)
    before = read(tmp_path / "data/made").digest()
    ticket = Workspace(tmp_path).throw_away("data", "made")
    assert not (tmp_path / "data/made").exists()
    assert Workspace(tmp_path).put_back(ticket) == "made"
    assert read(tmp_path / "data/made").digest() == before
    with pytest.raises(ValueError, match="no longer in the trash"):
        Workspace(tmp_path).put_back(ticket)
    for name in ("../runs", "../runs/other", "", "gone"):
        with pytest.raises(ValueError, match="only what was added there"):
            Workspace(tmp_path).throw_away("data", name)
    for ticket in ("../../etc", "1-data-../x", ""):
        with pytest.raises(ValueError, match="no longer in the trash"):
            Workspace(tmp_path).put_back(ticket)


def test_only_what_is_old_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (".trash/1-data-a", "uploads/b", "data/.draft-extract-c", "data/kept"):
        (tmp_path / place).mkdir(parents=True)
    Workspace(tmp_path).sweep()
    assert len(list(tmp_path.rglob("*"))) == 7
    monkeypatch.setattr(workspace, "KEPT", -1)
    Workspace(tmp_path).sweep()
    assert sorted(str(place.relative_to(tmp_path)) for place in tmp_path.rglob("*")) == [
        ".trash",
        "data",
        "data/kept",
        "uploads",
    ]


def test_the_trash_is_emptied_by_age_by_number_and_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def thrown(*names: str) -> list[str]:
        for name in names:
            (tmp_path / "runs" / name).mkdir(parents=True)
            (tmp_path / "runs" / name / "file").write_bytes(b"x" * 100)
            Workspace(tmp_path).throw_away("runs", name)
        return [name for _, _, name in Workspace(tmp_path).thrown()]

    assert thrown("a", "b", "c") == ["c", "b", "a"]
    monkeypatch.setattr(workspace, "MOST_KEPT", 3)
    assert thrown("d") == ["d", "c", "b"]
    monkeypatch.setattr(workspace, "BYTES_KEPT", 200)
    assert thrown("e") == ["e", "d"]
    monkeypatch.setattr(workspace, "BYTES_KEPT", 99)  # too large for the trash: the last one stays all the same
    assert thrown("f") == ["f"]
    monkeypatch.setattr(workspace, "KEPT", -1)
    Workspace(tmp_path).sweep()
    assert Workspace(tmp_path).thrown() == []


@pytest.mark.parametrize("name", ["<b>&![x](http:)", "a\nb", "ü " * 20, "-runs-x", "data-1"])
def test_hostile_names_go_into_the_trash_and_come_back(tmp_path: Path, name: str) -> None:
    for kind in workspace.KINDS:
        (tmp_path / kind / name).mkdir(parents=True)
        (tmp_path / kind / name / "file").write_text(kind)
        ticket = Workspace(tmp_path).throw_away(kind, name)
        assert Workspace(tmp_path).thrown()[0] == (ticket, kind, name)
        assert Workspace(tmp_path).put_back(ticket) == name
        assert (tmp_path / kind / name / "file").read_text() == kind
    for wrong in ("../runs/x", "..", "", "x/y"):
        with pytest.raises(ValueError, match="is not in the workspace"):
            Workspace(tmp_path).throw_away("sweeps", wrong)
        with pytest.raises(ValueError, match="no longer in the trash"):
            Workspace(tmp_path).put_back(f"1-sweeps-{wrong}")


def test_names_of_strangers_become_names_of_ours(tmp_path: Path) -> None:
    for name in ("../../x.mp4", "/etc/passwd", "a\nb\u202e.npy", "<img src=x>.zip", "..", "x" * 500):
        ours = workspace.file_name(name)
        assert "/" not in ours
        assert ours.isprintable()
        assert not ours.startswith(".")
        assert 0 < len(ours) <= 60
    (tmp_path / "a").mkdir()
    assert workspace.free_name(tmp_path, "a") == "a-2"
    with pytest.raises(ValueError, match="cannot be the name"):
        workspace.free_name(tmp_path, "../..")


def test_a_dataset_packed_for_download_comes_back_the_same(tmp_path: Path) -> None:
    folder = native.write(made(), tmp_path / "made")
    (tmp_path / "made.zip").write_bytes(workspace.packed(folder))
    with workspace.unpacked([tmp_path / "made.zip"]) as place:
        assert read(place).digest() == read(folder).digest()
    assert not place.exists()


def test_an_archive_of_feature_files_is_read_like_their_folder(tmp_path: Path) -> None:
    folder = feature_folder(tmp_path / "made")
    (tmp_path / "made.zip").write_bytes(workspace.packed(folder))
    with workspace.unpacked([tmp_path / "made.zip"]) as place:
        assert read(place).digest() == read(folder).digest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (hostile.zip_of(("../../x.npy", hostile.good_npy())), "name that is not let in"),
        (hostile.zip_of(("/x.npy", hostile.good_npy())), "name that is not let in"),
        (hostile.doubled_zip("x.npy", b"1", b"2"), "is there twice"),
        (hostile.zip_bomb(), "zip bomb"),
        (hostile.zip_of(("x.exe", b"MZ")), "holds none of"),
        (b"no zip", "no zip archive"),
    ],
)
def test_archives_that_reach_out_or_blow_up_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=words), workspace.unpacked([tmp_path / "a.zip"]):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]


def test_links_in_a_folder_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "a/link").symlink_to(tmp_path / "secret")
    (tmp_path / "a/file").write_text("f")
    names = zipfile.ZipFile(io.BytesIO(workspace.packed(tmp_path / "a"))).namelist()
    assert names == ["a/file"]


def state_dict(width: int = 12, text: int = 8) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "embedding_v.fc1.weight": torch.randn(4, width),
        "embedding_v.fc1.bias": torch.randn(4),
        "embedding_t.fc1.weight": torch.randn(4, text),
        "embedding_t.fc1.bias": torch.randn(4),
        "graphfusion.a": torch.randn(3, 3, 1, 1, 1),
        "normal_head.fc1.weight": torch.randn(16, 16),
        "normal_head.fc1.bias": torch.randn(16),
        "normal_head.fc2.weight": torch.randn(1, 16),
        "normal_head.fc2.bias": torch.randn(1),
        "normal_head.bn1.weight": torch.randn(16),
    }


def test_a_released_checkpoint_becomes_a_run_with_the_same_model(tmp_path: Path) -> None:
    file = tmp_path / "lego.pth"
    torch.save(state_dict(), file)
    expected = released.lego(state_dict(), ("motion", "text"))
    name = workspace.adopt_released(file, ("motion", "text"), tmp_path / "runs")
    model = run.model(tmp_path / "runs" / name)
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=0, atol=0)
    assert run.load(tmp_path / "runs" / name).source.widths == {"motion": 12, "text": 8}


def test_a_checkpoint_of_something_else_is_refused_with_its_keys(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="no checkpoint of the released LEGO code"):
        workspace.adopt_released(tmp_path / "a.pth", ("v", "t"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("told", [True, False])
def test_what_commands_train_lies_in_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    native.write(world.dataset(None), tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FUSESCOPE_WORKSPACE", raising=False)
    if told:
        monkeypatch.setenv("FUSESCOPE_WORKSPACE", str(tmp_path / "mine"))
    home = Workspace(tmp_path / ("mine" if told else "workspace"))
    words = ("set", "--fusion", "sum", "--set", "epochs=1", "--seeds", "1")
    assert command("train", *words)[0] == 0
    assert len(run.listing(home.runs)) == 1
    assert command("sweep", *words, "--axis", "hidden=2..3", "--judge", "test")[0] == 0
    assert [place.name for place in home.sweeps.iterdir() if (place / "sweep.json").is_file()]
    assert not (tmp_path / "workspace").exists() or not told
