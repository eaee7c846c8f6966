from pathlib import Path

import pytest

from fintech_dl.folders import cache, card_folders, data_folders, replacing, shipped

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", ["datasets", "pipelines", "reports/templates"])
def test_shipped_folders_of_a_checkout(kind):
    assert shipped(kind) == ROOT / kind


def test_shipped_folders_of_a_wheel_come_first(tmp_path, monkeypatch):
    (tmp_path / "_shipped" / "datasets").mkdir(parents=True)
    monkeypatch.setattr("fintech_dl.folders.files", lambda name: tmp_path)
    assert shipped("datasets") == tmp_path / "_shipped" / "datasets"
    assert shipped("pipelines") == tmp_path.parent / "pipelines"


def test_own_cards_come_before_the_shipped_ones(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    monkeypatch.setenv("FINTECH_DL_CARDS", str(tmp_path))
    own = [tmp_path / "datasets", tmp_path]
    assert card_folders("datasets") == [*own, shipped("datasets")]
    assert card_folders("pipelines") == [tmp_path, shipped("pipelines")]
    monkeypatch.delenv("FINTECH_DL_CARDS")
    assert card_folders("datasets") == [shipped("datasets")]


def test_cache_and_data_folders_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FINTECH_DL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FINTECH_DL_DATA", str(tmp_path / "data"))
    assert data_folders() == [tmp_path / "data", tmp_path / "cache"]
    monkeypatch.delenv("FINTECH_DL_DATA")
    assert data_folders() == [tmp_path / "cache"]
    monkeypatch.delenv("FINTECH_DL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "fintech_dl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache() == tmp_path / ".cache" / "fintech_dl"


def test_replacing_puts_the_whole_file_in_place(tmp_path):
    path = tmp_path / "new" / "scores.csv"
    with replacing(path) as part:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_replacing_keeps_the_old_file_after_an_error(tmp_path, error):
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_in_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), replacing(tmp_path / "file" / "scores.csv") as part:
        part.write_text("x")


def test_a_replaced_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    with replacing(tmp_path / "scores.csv") as part:
        part.write_text("x")
    usual, mine = ((tmp_path / name).stat().st_mode for name in ("usual", "scores.csv"))
    assert mine == usual
