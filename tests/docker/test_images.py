"""The images of docker/Dockerfile: targets, locks, compose.yaml and the page on them fit; it installs what it says."""

import contextlib
import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestration.ui.roles import CODE, FILES
from tests.docker.composed import OURS, SERVICES
from tests.workspace import ROOT

DOCKERFILE = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PAGE = (ROOT / "docs/how-to/deploy.md").read_text(encoding="utf-8")
INSTALL = ROOT / "docker/install.sh"
APART = re.compile(r"(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==")  # what another index brings, or leaves out


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return each target's own instructions, its base first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in DOCKERFILE.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            mine = found[name] = [("FROM", base)]
        elif word and not word.startswith("#"):
            mine.append((word, rest.strip()))
    return found


STAGES = stages()


def whole(target: str) -> list[tuple[str, str]]:
    """Return the instructions that a target consists of, those of its bases before its own."""
    (_, base), *own = STAGES[target]
    return [*(whole(base) if base in STAGES else ()), *own]


def pins(lock: str) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """Return what a lock says of each name: version and hashes, one for each range of Pythons."""
    found: dict[str, list[tuple[str, frozenset[str]]]] = {}
    text = (ROOT / lock).read_text(encoding="utf-8")
    for name, version, rest in re.findall(r"(?ms)^([a-z0-9.-]+)==([^\s;]+)(.*?)(?=^\S|\Z)", text):
        found.setdefault(name, []).append((version, frozenset(re.findall(r"--hash=(\S+)", rest))))
    return found


ALL, SERVE, PIPELINE = (pins(f"requirements{part}.lock") for part in ("", "-serve", "-pipeline"))


@pytest.mark.parametrize("lock", [SERVE, PIPELINE], ids=["serve", "pipeline"])
def test_an_image_has_the_versions_and_hashes_that_are_tested(
    lock: dict[str, list[tuple[str, frozenset[str]]]],
) -> None:
    assert len(lock) > 50
    assert {name: pin for name, pin in lock.items() if not set(pin) <= set(ALL.get(name, ()))} == {}
    assert all(hashes for pin in lock.values() for _, hashes in pin)


def needed(*roots: str) -> set[str]:
    """Return what is installed for these requirements on this machine, by what the installed packages say they need."""
    waiting, seen = [Requirement(root) for root in roots], set[tuple[str, frozenset[str]]]()
    while waiting:
        one = waiting.pop()
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in (one.extras or {""})):
            continue
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        for text in metadata.requires(one.name) or ():
            other = Requirement(text)
            if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in (*one.extras, "")):
                other.marker = None
                waiting.append(other)
    return {name for name, _ in seen}


def asked(*names: str) -> list[str]:
    return [*PROJECT["dependencies"], *(one for name in names for one in EXTRAS[name])]


def test_a_lock_has_what_its_image_needs_and_the_serving_one_nothing_of_the_pipeline() -> None:
    made = dict(re.findall(r"(?m)^(SERVE|PIPELINE) := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8")))
    made["PIPELINE"] = made["PIPELINE"].replace("$(SERVE)", made["SERVE"])
    extras_of = {name: re.findall(r"--extra (\S+)", words) for name, words in made.items()}
    assert set(extras_of["PIPELINE"]) == set(EXTRAS) - {"bench", "dev", "docs"}
    for lock, names in ((SERVE, extras_of["SERVE"]), (PIPELINE, extras_of["PIPELINE"])):
        assert needed(*asked(*names)) - set(lock) == set()
    heavy = {
        "dagster",
        "dvc",
        "mlflow",
        "lightning-fabric",
        "ray",
        "scikit-learn",
        "sqlalchemy",
        "jupyter",
        "pytest",
        "gitpython",
    }
    assert heavy & set(SERVE) == set()
    line = {"dagster", "dvc", "mlflow", "lightning-fabric", "ray", "hydra-core", "psycopg2-binary", "dvc-s3"}
    assert line <= set(PIPELINE)
    assert {"pytest", "ruff", "playwright", "sphinx", "faiss-cpu"} & set(PIPELINE) == set()


def test_what_another_index_s_torch_leaves_out_is_what_torch_alone_needs() -> None:
    left = {name for name in PIPELINE if APART.match(f"{name}==")}
    installed = needed(*asked("line", "ray", "services", "s3", "heic", "lite"))
    others = {one for one in installed if not APART.match(f"{one}==")}
    wanted = {canonicalize_name(Requirement(text).name) for one in others for text in metadata.requires(one) or ()
              if (marker := Requirement(text).marker) is None or marker.evaluate({"extra": ""})}  # fmt: skip
    assert left & wanted == {"torch", "torchvision"}, "nothing that stays needs any of the rest"
    assert needed("torch", "torchvision") & left == left & installed


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A package index of folders."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def index(folder: Path, *packages: tuple[str, str, str]) -> Iterator[str]:
    """Serve wheels of these names, versions and requirements on loopback."""
    for name, version, wants in packages:
        stem = f"{name.replace('-', '_')}-{version}"
        (folder / name).mkdir(parents=True, exist_ok=True)
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        about += f"Requires-Dist: {wants}\n" if wants else ""
        with zipfile.ZipFile(folder / name / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{stem}.dist-info/METADATA", about)
            wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
    answer = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


LOCK = """typing-extensions==4.1.0 ; python_full_version < '4' \\
    --hash=sha256:{}
torch==2.15.0 \\
    --hash=sha256:{}
torchvision==0.29.2 \\
    --hash=sha256:{}
nvidia-cublas==13.4.1.3 ; sys_platform == 'linux' \\
    --hash=sha256:{}
triton==3.9.0 ; sys_platform == 'linux' \\
    --hash=sha256:{}
"""


def installed_by(lock: Path, ordinary: str, *named: str) -> tuple[str, set[str]]:
    """Run the images' script; return what it says where it fails, and what it installed."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    env = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "UV_NO_CACHE": "1"}
    env |= {"UV_DEFAULT_INDEX": ordinary, "NO_PROXY": "*"}
    environment = lock.with_suffix("")
    words = ["sh", str(INSTALL), str(lock), str(environment), *named]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    found = {path.name.removesuffix(".dist-info") for path in environment.rglob("*.dist-info")}
    return done.stderr if done.returncode else "", found


@pytest.mark.skipif(shutil.which("uv", path=str(Path(sys.executable).parent)) is None, reason="no uv here")
def test_torch_of_another_index_is_its_build_of_the_locked_version_and_the_rest_is_held_against_its_hash(
    tmp_path: Path,
) -> None:
    ordinary = [("typing-extensions", "4.1.0", ""), ("torch", "2.15.0", ""), ("torchvision", "0.29.2", ""),
                ("nvidia-cublas", "13.4.1.3", "is-not-there"), ("triton", "3.9.0", "")]  # fmt: skip
    named = [("torch", "2.15.0+cpu", "torch-part"), ("torch", "2.16.0+cpu", ""), ("typing-extensions", "9", ""),
             ("torchvision", "0.29.2+cpu", "torch==2.15.0"), ("torch-part", "1", "typing-extensions")]  # fmt: skip
    with index(tmp_path / "ordinary", *ordinary) as usual, index(tmp_path / "named", *named) as other:
        hashes = [
            hashlib.sha256(next((tmp_path / "ordinary" / name).iterdir()).read_bytes()).hexdigest()
            for name, _, _ in ordinary
        ]
        locks = {name: tmp_path / f"{name}.lock" for name in ("plain", "apart", "tampered", "false-torch")}
        locks["plain"].write_text(LOCK.format(*hashes), encoding="utf-8")
        locks["apart"].write_text(LOCK.format(hashes[0], *["1" * 64] * 4), encoding="utf-8")
        locks["tampered"].write_text(LOCK.format("0" * 64, *hashes[1:]), encoding="utf-8")
        locks["false-torch"].write_text(LOCK.format(hashes[0], "1" * 64, *hashes[2:]), encoding="utf-8")
        all_there = {f"{name.replace('-', '_')}-{version}" for name, version, _ in ordinary}
        assert installed_by(locks["plain"], usual) == ("", all_there)
        theirs = {"typing_extensions-4.1.0", "torch-2.15.0+cpu", "torchvision-0.29.2+cpu", "torch_part-1"}
        assert installed_by(locks["apart"], usual, other) == ("", theirs)
        for lock, *more in (("tampered", other), ("false-torch",)):
            said, found = installed_by(locks[lock], usual, *more)
            assert "Hash mismatch" in said
            assert found == set()


def test_targets_are_those_that_compose_builds_and_the_page_tells() -> None:
    cuda = [yaml.safe_load((ROOT / "docker" / f"compose.{name}.yaml").read_text()) for name in ("cuda", "cuda-serve")]
    built = {SERVICES[name]["build"]["target"] for name in OURS}
    built |= {one["build"]["target"] for file in cuda for one in file["services"].values() if "build" in one}
    told = set(re.findall(r"(?m)^\| `([\w-]+)` \|.* `requirements-\w+\.lock` \|$", PAGE))
    assert built == told == {"serve", "serve-cuda", "pipeline"}
    assert {name for name in OURS if SERVICES[name]["build"]["target"] == "serve"} == {"serve"}
    images = {SERVICES[name]["build"]["target"]: SERVICES[name]["image"] for name in OURS}
    assert images == {target: f"visnet-{target}" for target in ("serve", "pipeline")}
    for file, service in zip(cuda, ("code", "serve"), strict=True):
        assert set(file["services"]) == {service} <= set(SERVICES)
        (device,) = file["services"][service]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    for name in OURS:
        assert SERVICES[name]["build"]["args"] == {"TORCH_INDEX": "${TORCH_INDEX:-}"}
    assert ("ARG", 'TORCH_INDEX=""') in STAGES["tools"], "empty, unless somebody names one"


@pytest.mark.parametrize("target", ["serve", "serve-cuda", "pipeline"])
def test_an_image_is_no_root_s_and_installed_from_its_lock(target: str) -> None:
    lines = whole(target)
    assert [rest for word, rest in lines if word == "USER"][-1] == "visnet"
    assert ("ENTRYPOINT", '["python", "-m", "orchestration.ui.roles"]') in lines
    assert ("VOLUME", "/visnet") in lines
    ((_, copied),) = [one for one in lines if one[0] == "COPY"]
    source = re.fullmatch(r"--from=(\S+) /opt/visnet /opt/visnet", copied)[1]  # type: ignore[index]
    lock = f"requirements-{source.removesuffix('-built')}.lock"
    assert ("COPY", f"{lock} ./") in STAGES[source]
    assert ("RUN", f'sh docker/install.sh {lock} .venv "$TORCH_INDEX"') in STAGES[source]
    assert any(word == "RUN" and "apt-get" in rest and "gcc" in rest for word, rest in lines) == (target != "serve")
    assert any(word == "HEALTHCHECK" and "/readyz" in rest for word, rest in lines) == (target != "pipeline")
    assert lines[0][0] != "FROM"
    assert {base for (_, base), *_ in STAGES.values() if base not in STAGES} == {"python:3.11-slim-bookworm"}


def test_what_an_image_copies_is_there_and_no_more_than_it_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = {*CODE, *FILES, ".dvc", "params.toml", "requirements-serve.lock", "requirements-pipeline.lock", "docker"}
    assert not kept & set(ignored)
    assert {".git", ".venv", "data", "docker/secrets", "tests"} <= set(ignored)
    copied = [
        rest.split()[0] for lines in STAGES.values() for word, rest in lines if word == "COPY" and "--from" not in rest
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {rest.split()[0] for word, rest in STAGES["serve-built"] if word == "COPY"} == {
        *CODE,
        "requirements-serve.lock",
    }
    assert ("WORKDIR", "/opt/visnet") in STAGES["tools"]
    assert ("ENV", "PATH=/opt/visnet/.venv/bin:$PATH VISNET_PROJECT=/opt/visnet") in STAGES["plain"]


def test_no_address_of_an_index_stands_in_what_builds() -> None:
    for path in (INSTALL, ROOT / "docker/Dockerfile", *(ROOT / "docker").glob("compose*.yaml"), *ROOT.glob("*.lock")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?m)^\s*--(extra-)?index-url\s+http|https?://\S*(pytorch|pypi)", text), path.name
