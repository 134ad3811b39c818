"""`visnet keys`: a key is printed once, listed by its name, and removed."""

import sys
from pathlib import Path

import pytest

from visnet import __main__ as visnet
from visnet.serving.app.keys import Keys


def test_a_key_is_made_listed_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["visnet", "keys", *words])
        code, said = visnet.main(), capsys.readouterr()
        return code, said.out, said.err

    monkeypatch.chdir(tmp_path)
    assert run("list") == (0, "no keys in data/keys.json; `visnet keys add NAME`\n", "")
    code, key, _ = run("add", "shop")
    assert (code, Keys(tmp_path / "data").holder(key.strip())) == (0, "shop")
    code, said, _ = run("list")
    assert said.split()[0] == "shop"
    assert key.strip() not in said
    code, _, why = run("add", "shop")
    assert (code, why) == (2, "visnet keys: a key is called 'shop' already; add another one, or remove that first\n")
    assert run("remove", "shop")[0] == 0
    assert Keys(tmp_path / "data").holder(key.strip()) is None
