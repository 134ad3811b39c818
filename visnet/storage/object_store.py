"""A folder of an S3 store, by its URL: whole puts, conditional puts, and nothing that only a disk has.

Where the store is and who asks is read from the environment (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, or what else boto3 finds there) and stands in no parameter, log, error or table.
"""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visnet.errors import Conflict, Damaged, NotFound, NotReady
from visnet.storage import atomic

SCHEME = "s3://"
ABSENT = ""  # the tag of what is not there
PART_BYTES = 16 << 20  # larger files go up in parts of this size, and come down in pieces of it
AT_ONCE = 1000  # objects that one request may remove
TIMEOUT_S = 20
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_UNMET = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_GONE = ("NoSuchKey", "404", "NotFound")


@dataclass(frozen=True)
class Found:
    """An object: its bytes, the tag by which a conditional put names it, and its age by the store's clock, seconds."""

    data: bytes
    tag: str
    age_s: float


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether a place is named by an address instead of a path."""
    return isinstance(place, str) and re.match(r"[a-z][a-z0-9+.-]*://", place) is not None


def split(url: str) -> tuple[str, str]:
    """Return the bucket and the folder in it of `s3://BUCKET/FOLDER`; `ValueError` for any other address.

    What could be a password is not repeated.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an address of an object store is s3://BUCKET/FOLDER; credentials come from the environment")
    folder = parts.path.strip("/")
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or not folder:
        raise ValueError(f"{url}: allowed is s3://BUCKET/FOLDER")
    if any(part in ("", ".", "..") for part in folder.split("/")):
        raise ValueError(f"{url}: a folder's name cannot be empty, . or ..")
    return parts.netloc, folder


def lance_options() -> dict[str, str]:
    """Return what Lance must be told beside its environment: that a store of ours may speak plain HTTP, and patience.

    Nothing secret: Lance reads the credentials where boto3 does.
    """
    endpoint = _endpoint()
    options = {"timeout": f"{TIMEOUT_S}s", "client_max_retries": "3", "client_retry_timeout": f"{3 * TIMEOUT_S}"}
    options |= {"aws_endpoint": endpoint} if endpoint else {}
    return options | ({"allow_http": "true"} if endpoint.startswith("http://") else {})


class ObjectStore:
    """A folder of a store. Names are relative to it; every refusal is one line that names the object.

    `NotReady` when the store does not answer or lets nobody in, `NotFound` when there is no such bucket.
    """

    def __init__(self, url: str) -> None:
        self.bucket, self.folder = split(url)
        self.url = f"{SCHEME}{self.bucket}/{self.folder}"
        self._client = _client()

    def read(self, name: str) -> Found | None:
        """Read an object, None where there is none."""
        with self._asking(name):
            answer = self._answer(name)
            if answer is None:
                return None
            now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
            return Found(answer["Body"].read(), answer["ETag"], (now - answer["LastModified"]).total_seconds())

    def size(self, name: str) -> int:
        """Return the bytes of an object, -1 where there is none."""
        from botocore.exceptions import ClientError

        with self._asking(name):
            try:
                return int(self._client.head_object(Bucket=self.bucket, Key=self._key(name))["ContentLength"])
            except ClientError as error:
                if _code(error) in _GONE:
                    return -1
                raise

    def put(self, name: str, data: bytes, tag: str) -> str:
        """Write an object if it is still what `tag` says, `ABSENT` for none; return its new tag, else `Conflict`.

        Two writers should not mean the same bytes by it: who finds these there takes them for what it has put itself,
        since a client asks again when an answer was lost.
        """
        condition = {"IfNoneMatch": "*"} if tag == ABSENT else {"IfMatch": tag}
        try:
            with self._asking(name):
                answer = self._client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data, **condition)
        except Conflict:
            found = self.read(name)
            if found is None or found.data != data:
                raise
            return found.tag
        return str(answer["ETag"])

    def put_file(self, name: str, file: Path) -> None:
        """Bring a file, whole or not at all."""
        from boto3.s3.transfer import TransferConfig

        parts = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
        with self._asking(name):
            self._client.upload_file(str(file), self.bucket, self._key(name), Config=parts)

    def get_file(self, name: str, target: Path, size: int, sha256: str) -> None:
        """Fetch an object to a path, whole or not at all; `Damaged` if it is not the bytes that are expected."""
        with self._asking(name), atomic.writing(target) as building:
            answer, found = self._answer(name), hashlib.sha256()
            if answer is None:
                raise Damaged(f"{self.url}/{name} is missing; publish to {self.url} again")
            with building.open("wb") as out:
                for piece in answer["Body"].iter_chunks(PART_BYTES):
                    found.update(piece)
                    out.write(piece)
            if building.stat().st_size != size or found.hexdigest() != sha256:
                raise Damaged(f"{self.url}/{name} is not what was published; remove it, and publish there again")

    def sizes(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """List the objects of a folder and the folders in it: names, as `read` takes them, and bytes."""
        start = f"{self.folder}/"
        with self._asking(folder):
            pages = self._client.get_paginator("list_objects_v2")
            prefix = start + (f"{folder.strip('/')}/" if folder else "")
            for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(start), found["Size"]

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), AT_ONCE):
            with self._asking(""):
                wanted = {"Objects": keys[start : start + AT_ONCE], "Quiet": True}
                left = self._client.delete_objects(Bucket=self.bucket, Delete=wanted).get("Errors")
            if left:
                raise OSError(f"{SCHEME}{self.bucket}/{left[0]['Key']} could not be removed: {left[0].get('Code')}")

    def _key(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _answer(self, name: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self._client.get_object(Bucket=self.bucket, Key=self._key(name))
        except ClientError as error:
            if _code(error) in _GONE:
                return None
            raise

    @contextlib.contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Say in a line of ours what a store or its client refused."""
        from boto3.exceptions import S3UploadFailedError
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

        what = f"{self.url}/{name}".rstrip("/")
        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in _UNMET:
                raise Conflict(f"{what} was changed by another process; run this again") from None
            if code == "NoSuchBucket":
                raise NotFound(f"{SCHEME}{self.bucket}: there is no such bucket; make it first") from None
            raise NotReady(f"{what}: the object store refused ({code}); see the AWS_… variables") from None
        except (NoCredentialsError, NoRegionError):
            raise NotReady(
                f"{what}: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION in the environment"
            ) from None
        except (BotoCoreError, S3UploadFailedError) as error:
            raise NotReady(f"{what}: the object store does not answer ({type(error).__name__})") from None


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _client() -> Any:
    """Return the client of whom the environment names now; one is made once, which takes half a second."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION")
    return _client_of(_endpoint(), os.getpid(), *(os.environ.get(name) for name in names))


@functools.lru_cache(maxsize=8)
def _client_of(endpoint: str, process: int, *who: str | None) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise NotReady("an address s3://… needs visnet's extra [s3]: `pip install 'visnet[s3]'`") from None
    patience = Config(
        connect_timeout=5,
        read_timeout=TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": 3},
        s3={"addressing_style": "path"} if endpoint else {},  # a store of ours has one name for all buckets
    )
    *_, region, other = who
    return boto3.session.Session().client("s3", region_name=region or other, config=patience)
