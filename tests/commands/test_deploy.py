"""What is served is what is checked out, however a workspace came to be, or a line says what to type; that cures."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from dvc import cli

from tests import forked, refreshing, workspace
from tests.apart import within
from tests.refreshing import numbers, put_stock, refresh, served, stock
from tests.workspace import shell
from visnet import __main__ as visnet
from visnet.commands import similar
from visnet.serving import catalog, pointer, versions

MADE = (
    "raw_images",
    "crops",
    "localizer",
    "taxonomy_model",
    "category_paths",
    "photo_quality",
    "duplicates",
    "trained_model",
    "catalog_embeddings",
    "knn_results",
    "evaluation",
)


def dvc(shop: Path, *words: str) -> None:
    """Run `dvc` here, without the seconds that its imports take."""
    with within(shop):
        assert cli.main([*words, "-q"]) == 0, words


def commit(shop: Path, what: str) -> None:
    """Give DVC and git what was made."""
    dvc(shop, "add", *(f"data/{stage}" for stage in MADE))
    dvc(shop, "commit", "-f", "publish")
    shell(shop, "git", "add", "-A")
    shell(shop, "git", "commit", "-qm", what)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop in git and DVC, with two commits published, pushed to a remote; only `publish` is a stage of DVC here."""
    shop = workspace.make(tmp_path_factory.mktemp("deployed") / "shop", refreshing.PARAMS)
    rows = yaml.safe_load((shop / "dvc.yaml").read_text())
    publish = {"stages": {"publish": rows["stages"]["publish"]}}
    (shop / "dvc.yaml").write_text(yaml.safe_dump(publish))
    refreshing.put_model(shop, seed=1)
    for stage in refreshing.SWITCHED_OFF:
        (shop / "data" / stage).mkdir()
    for look in (0, 1):
        put_stock(shop, stock(12, look))
        refresh(shop)
        if not look:
            dvc(shop, "remote", "add", "-d", "store", str(shop.parent / "store"))
        commit(shop, f"Look {look}")
    dvc(shop, "push", "--all-commits")
    assert (numbers(shop), served(shop)) == ([1, 2], 2)
    return shop


@pytest.fixture
def shop(line: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(line, tmp_path / "shop", symlinks=True))


def ours(shop: Path, *words: str) -> tuple[int, str]:
    """Run `python -m visnet` here, without the seconds that its imports take."""
    with within(shop), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["visnet", *words])
        said: list[str] = []
        patch.setattr("builtins.print", lambda *text, **_: said.append(" ".join(map(str, text))))
        return visnet.main(), "\n".join(said)


def advice(shop: Path) -> str:
    """Return what `versions --check` says where what is served is not what is checked out, "" where it is."""
    code, said = ours(shop, "versions", "--check")
    assert code == (2 if said.startswith("visnet") else 0)
    assert "\n" not in said
    return said if code else ""


def follow(shop: Path, *commands: str) -> None:
    """Type what each line names, which are just these commands, until there is nothing more to say."""
    for command in commands:
        said = advice(shop)
        assert f"`{command}`" in said, said
        words = command.split()
        if words[:3] == ["python", "-m", "visnet"]:
            code, said = ours(shop, *words[3:])
            assert code == 0, said
        elif words[0] == "dvc":
            dvc(shop, *words[1:])
        else:
            shell(shop, *words)
    assert is_served(shop)


def is_served(shop: Path) -> bool:
    """Whether what is served is whole and what the pointer names, and nobody says otherwise."""
    with within(shop), catalog.open_current() as version:
        assert not refreshing.torn(version)
        assert version.facts()["parts"] == pointer.found(versions.PUBLISH)
        assert "Note" not in similar.answer(next(Path("images").glob("*.png")), 1, None, None, Path("answer.png"))
        assert "is served" in versions.listing().splitlines()[-1]
    return advice(shop) == ""


DEPLOY = "python -m visnet deploy"


def test_a_clone_serves_what_it_pulled(line: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    shell(tmp_path, "git", "clone", "-q", str(line), str(clone))
    follow(clone, "dvc pull", DEPLOY)
    assert (numbers(clone), served(clone)) == ([1], 1)
    shutil.rmtree(clone / "data/crops")
    script = "import sys; from visnet.commands import deploy; print(deploy.run());"
    script += "print({'torch', 'mlflow'} & set(sys.modules))"
    assert shell(clone, sys.executable, "-c", script).split("\n")[:2] == ["Version 1 is served", "set()"]


def test_a_folder_that_only_serves_says_what_is_missing(published: Path, tmp_path: Path) -> None:
    shutil.copytree(published / "data/publish", tmp_path / "data/publish", symlinks=True)
    said = "visnet deploy: version 1 is served; data/published.json, which says what is checked out, is missing"
    elsewhere = f"; {tmp_path} has no dvc.yaml: if the catalog is elsewhere, run this there"
    assert ours(tmp_path, "deploy") == (2, said + elsewhere)


def test_a_checkout_is_served_as_a_newer_version_and_so_is_the_way_back(shop: Path) -> None:
    contents = {number: versions.facts(shop / "data/publish", number)["parts"] for number in (1, 2)}
    shell(shop, "git", "checkout", "-q", "HEAD~1")
    follow(shop, "dvc checkout", DEPLOY)
    assert (numbers(shop), served(shop), versions.waiting(shop / "data/publish")) == ([1, 2, 3], 3, None)
    shell(shop, "git", "checkout", "-q", "main")
    follow(shop, "dvc checkout", DEPLOY)
    facts = versions.facts(shop / "data/publish", 4)
    assert (facts["parts"], facts["changed"], facts["before"]) == (contents[2], 12, 3)
    assert versions.facts(shop / "data/publish", 3)["parts"] == contents[1]
    assert "up to date" in forked.dvc(shop, "status")
    assert shell(shop, "git", "status", "--porcelain").replace("?? answer.png\n", "") == ""


def test_a_rollback_is_respected_until_it_is_ended(shop: Path) -> None:
    assert ours(shop, "rollback")[0] == 0
    held = "Version 1 is served since a rollback, 2 waits: `python -m visnet roll-forward` serves it"
    assert ours(shop, "deploy") == (0, held)
    shell(shop, "git", "checkout", "-q", "HEAD~1")
    dvc(shop, "checkout")
    assert ours(shop, "deploy") == (0, held.replace("2 waits", "3 waits"))
    assert ours(shop, "roll-forward")[1].startswith("Version 3 is served; before, version 1. New versions are")
    assert is_served(shop)
    ours(shop, "rollback", "2")
    shutil.rmtree(shop / "data/publish/versions/000003")  # what waits was not what is checked out, and this is
    shell(shop, "git", "checkout", "-q", "main")
    dvc(shop, "checkout")
    assert ours(shop, "deploy") == (0, "Version 2 is served")


@pytest.mark.parametrize("how", ["links are kept", "links are followed", "renamed"])
def test_a_copy_serves_what_the_workspace_did(how: str, shop: Path, tmp_path: Path) -> None:
    place = tmp_path / "another name"
    if how == "renamed":
        shop.rename(place)
    else:
        subprocess.run(["cp", "-rL" if how == "links are followed" else "-r", str(shop), str(place)], check=True)
        shutil.rmtree(shop)
    assert is_served(place)
    assert ours(place, "deploy") == (0, "Version 2 is served")
    assert ours(place, "rollback")[0] == ours(place, "roll-forward")[0] == 0
    assert (served(place), (place / "data/publish/current").is_symlink()) == (2, True)
    assert is_served(place)


def at(place: str) -> Callable[[Path], None]:
    def remove(shop: Path) -> None:
        path = shop / place
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    return remove


def cut_short(shop: Path) -> None:
    file = max((shop / "data/publish/versions/000002/embeddings.lance/data").iterdir())
    file.chmod(0o600)
    text = file.read_bytes()
    file.unlink()
    file.write_bytes(text[:-9])


def hold(shop: Path) -> None:
    """Roll back, and lose what is held."""
    assert ours(shop, "rollback")[0] == 0
    at("data/publish/versions/000001")(shop)


VERSION = "data/publish/versions/000002"
LOST: dict[str, Callable[[Path], None]] = {
    "no link": at("data/publish/current"),
    "the link leads nowhere": at(VERSION),
    "half a version": at(f"{VERSION}/crops.lance"),
    "no model": at(f"{VERSION}/trained_model/model.safetensors"),
    "no facts": at(f"{VERSION}/version.json"),
    "no versions": at("data/publish"),
    "a file cut short": cut_short,
    "what a rollback holds": hold,
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_lost_of_a_version_is_built_again(what: str, shop: Path) -> None:
    LOST[what](shop)
    with within(shop):
        if what != "no facts":
            assert DEPLOY in (versions.listing().splitlines()[-1] if numbers(shop) else advice(shop))
        with pytest.raises(ValueError, match=DEPLOY):
            catalog.open_current()
    follow(shop, DEPLOY)
    assert served(shop) == (1 if what == "no versions" else 3), "a number is not used again"


def test_a_version_that_verify_calls_damaged_is_built_again(shop: Path) -> None:
    file = max((shop / VERSION / "knn.lance/data").iterdir())
    size = file.stat().st_size
    file.unlink()  # it is a link to the line's
    file.write_bytes(bytes(size))
    code, said = ours(shop, "verify")
    cure = f"rm -r {VERSION} && {DEPLOY}"
    assert (code, f"run `{cure}`" in said) == (2, True), said
    at(VERSION)(shop)
    follow(shop, DEPLOY)
    assert ours(shop, "verify")[0] == 0


def test_what_is_lost_of_the_line_comes_from_dvc(shop: Path) -> None:
    at("data/published.json")(shop)
    follow(shop, "dvc checkout")
    (shop / "data/published.json").unlink()
    (shop / "data/published.json").write_text('{"parts": 1')
    follow(shop, "dvc checkout --force data/published.json")
    at("data/publish")(shop)
    at("data/catalog_embeddings")(shop)
    code, said = ours(shop, "deploy")
    assert (code, "data/catalog_embeddings is missing: run `dvc checkout`" in said) == (2, True)
    assert not refreshing.leftovers(shop)
    dvc(shop, "checkout")
    follow(shop, DEPLOY)


def test_tables_that_are_not_the_published_ones_are_not_served(shop: Path) -> None:
    at("data/publish")(shop)
    put_stock(shop, stock(13, 1))
    refresh(shop, "raw_images", "crops")
    code, said = ours(shop, "deploy")
    assert code == 2
    assert re.search(
        "crops of the line are not what data/published.json says: run `dvc checkout`, or `dvc repro`", said
    )
    assert served(shop) is None
    dvc(shop, "checkout", "--force")
    follow(shop, DEPLOY)


def test_an_experiment_serves_nothing_until_it_is_applied_and_deployed(shop: Path) -> None:
    put_stock(shop, stock(5, 1))  # more goes than the gate lets
    refresh(shop, *refreshing.REFRESH[:-1])
    dvc(shop, "add", *(f"data/{stage}" for stage in MADE))
    wide = ["-S", "params.toml:publish.removed_share_max=0.9"]
    said = forked.dvc(shop, "exp", "run", "--name", "wide", *wide)
    assert "the experiment wide serves nothing; `dvc exp apply wide`, then `python -m visnet deploy` does" in said
    assert (numbers(shop), served(shop)) == ([1, 2], 2)
    assert workspace.report(shop, "publish")["products"] == 5
    shell(shop, "git", "checkout", "-qf", "main")
    dvc(shop, "checkout", "--force")
    assert is_served(shop)
    dvc(shop, "exp", "apply", "wide")
    follow(shop, DEPLOY)
    with within(shop), catalog.open_current() as version:
        assert (version.number, version.facts()["products"]) == (3, 5)
