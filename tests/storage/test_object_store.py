"""An object store: conditional puts that one wins, leases that die with their holders, refusals in a line."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import SECRET
from visnet.errors import Conflict, Damaged, NotFound, NotReady
from visnet.storage import lease, object_store
from visnet.storage.object_store import ABSENT, ObjectStore


@pytest.fixture
def url(s3: Any) -> str:
    return f"s3://{s3.bucket()}/some/folder"


@pytest.fixture
def store(url: str) -> ObjectStore:
    return ObjectStore(url)


def at_once(work: Callable[[int], None], count: int) -> list[Exception]:
    """Do work in threads that begin together; return what was raised."""
    raised: list[Exception] = []
    together = threading.Barrier(count)

    def run(number: int) -> None:
        together.wait()
        try:
            work(number)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize(
    "wrong", ["s3://bucket", "s3://bucket/", "gs://bucket/a", "s3://B/a", "s3://bucket/a//b", "s3://bucket/../a"]
)
def test_what_is_no_address_is_refused_with_what_is_allowed(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"allowed is s3://BUCKET/FOLDER|cannot be empty") as refused:
        object_store.split(wrong)
    assert wrong in str(refused.value)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    for wrong in ("s3://key:geheim@bucket/a", "s3://bucket/a?secret=geheim", "s3://bucket/a#geheim"):
        with pytest.raises(ValueError, match="credentials come from the environment") as refused:
            object_store.split(wrong)
        assert "geheim" not in str(refused.value)


def test_of_several_that_create_an_object_one_does(store: ObjectStore) -> None:
    for race in range(3):
        lost = at_once(lambda number, race=race: store.put(f"race-{race}", b"%d" % number, ABSENT), 4)  # type: ignore[misc]
        assert [type(error) for error in lost] == [Conflict] * 3
    assert [name for name, _ in store.sizes()] == [f"race-{race}" for race in range(3)]


def test_a_counter_that_several_add_to_by_its_tag_loses_none(store: ObjectStore) -> None:
    store.put("count", b"0", ABSENT)

    def add(number: int) -> None:
        for _ in range(5):
            while True:
                found = store.read("count")
                assert found
                value = int(found.data.split()[0]) + 1
                try:
                    store.put("count", b"%d by %d" % (value, number), found.tag)
                    break
                except Conflict:
                    continue

    assert at_once(add, 3) == []
    found = store.read("count")
    assert found is not None
    assert found.data.split()[0] == b"15"


def test_a_file_comes_back_as_it_was_or_not_at_all(
    store: ObjectStore, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART_BYTES", 5 << 20)  # the least that S3 takes, so that this is three parts
    body = os.urandom((10 << 20) + 1)
    (tmp_path / "file").write_bytes(body)
    store.put_file("a/file", tmp_path / "file")
    assert list(store.sizes("a")) == [("a/file", len(body))]
    wanted = (len(body), sha256(body).hexdigest())
    store.get_file("a/file", tmp_path / "new/file", *wanted)
    assert (tmp_path / "new/file").read_bytes() == body
    client, key = s3.client(), f"{store.folder}/a/file"
    for wrong in (body[:-1] + bytes([body[-1] ^ 1]), body[:-1], None):
        if wrong is None:
            client.delete_object(Bucket=store.bucket, Key=key)
        else:
            client.put_object(Bucket=store.bucket, Key=key, Body=wrong)
        with pytest.raises(Damaged, match=f"{store.url}/a/file is (not what was published|missing)"):
            store.get_file("a/file", tmp_path / "new/file", *wanted)
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
        assert (tmp_path / "new/file").read_bytes() == body
    store.remove(["a/file", "nothing"])
    assert store.read("a/file") is None


def test_a_name_that_begins_like_a_folder_is_not_in_it(store: ObjectStore) -> None:
    for name in ("a/b", "ab", "a.b/c"):
        store.put(name, b"", ABSENT)
    assert [name for name, _ in store.sizes("a")] == ["a/b"]


def test_what_a_store_refuses_is_said_in_a_line_without_secrets(
    s3: Any, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(kind: type[ValueError], where: str = url) -> str:
        with pytest.raises(kind) as refused:
            ObjectStore(where).read("name")
        assert "\n" not in str(refused.value)
        assert SECRET not in str(refused.value)
        return str(refused.value)

    assert refusal(NotFound, "s3://no-such-bucket/a") == "s3://no-such-bucket: there is no such bucket; make it first"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert refusal(NotReady) == f"{url}/name: the object store does not answer (EndpointConnectionError)"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    assert refusal(NotReady) == f"{url}/name: the object store refused (InvalidAccessKeyId); see the AWS_… variables"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    assert "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION" in refusal(NotReady)


def test_without_the_extra_a_line_says_what_to_install(url: str) -> None:
    code = "import sys; sys.modules['boto3'] = None\nfrom visnet.storage.object_store import ObjectStore\n"
    code += f"try: ObjectStore('{url}')\nexcept ValueError as error: print(error)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "an address s3://… needs visnet's extra [s3]: `pip install 'visnet[s3]'`\n"


def test_a_lease_is_one_owners_and_is_free_afterwards(store: ObjectStore) -> None:
    with lease.held(store, "lease", "the first") as first:
        with (
            pytest.raises(Conflict, match=rf"{store.url} is in use: the first on .*, process {os.getpid()}"),
            lease.held(store, "lease", "the second"),
        ):
            pytest.fail("two hold it")
        first.check()
        with lease.held(store, "another lease", "the second"):
            pass
    with lease.held(store, "lease", "the second") as second:
        second.check()
        with pytest.raises(Conflict):
            first.check()


def test_of_several_that_take_a_lease_at_once_one_has_it(store: ObjectStore) -> None:
    store.put("lease", b"what nobody of us wrote", ABSENT)
    ended = threading.Barrier(4)

    def take(number: int) -> None:
        try:
            with lease.held(store, "lease", f"{number}"):
                ended.wait()
        except Conflict:
            ended.wait()
            raise

    lost = at_once(take, 4)
    assert [type(error) for error in lost] == [Conflict] * 3


def test_a_lease_is_renewed_and_outlives_a_dead_holder_by_its_time_alone(store: ObjectStore, url: str) -> None:
    code = (
        "import time\nfrom visnet.storage import lease\nfrom visnet.storage.object_store import ObjectStore\n"
        f"with lease.held(ObjectStore('{url}'), 'lease', 'a child', 1.5) as held:\n"
        "    time.sleep(4)\n    held.check()\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "held\n"  # longer than it would without renewing
        child.send_signal(signal.SIGKILL)
        child.wait()
    died_s = time.monotonic()
    with pytest.raises(Conflict, match=r"in use: a child .*, or \d s if it died"), lease.held(store, "lease", "us"):
        pass
    while True:
        try:
            with lease.held(store, "lease", "us"):
                break
        except Conflict:
            assert time.monotonic() < died_s + 10
            time.sleep(0.1)


def test_a_lease_that_another_took_is_lost(store: ObjectStore, s3: Any) -> None:
    with lease.held(store, "lease", "us", ttl_s=6) as held:
        s3.client().put_object(Bucket=store.bucket, Key=f"{store.folder}/lease", Body=b'{"owner": "b", "holds_s": 60}')
        time.sleep(2.5)  # it is renewed each 2 s
        with pytest.raises(Conflict, match="was lost"):
            held.check()
    found = store.read("lease")
    assert found is not None
    assert b'"owner": "b"' in found.data, "what is another's is not given back"


def test_a_lease_that_cannot_be_renewed_runs_out_here_before_it_does_there(store: ObjectStore, s3: Any) -> None:
    with lease.held(store, "lease", "us", ttl_s=2) as held:
        held.check()
        s3.kill()
        try:
            time.sleep(2.1)
            with pytest.raises(Conflict, match="was lost"):
                held.check()
        finally:
            s3.start()
        found = store.read("lease")
        assert found is not None
