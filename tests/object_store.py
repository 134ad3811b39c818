"""An S3 server for tests: SeaweedFS, that a wheel brings, on loopback; of two conditional puts it lets one win."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

WEED = Path(sys.executable).with_name("weed")
KEY, SECRET, REGION = "visnet-test", "a/very+secret=key", "us-east-1"
READY_S = 60.0


class ObjectStore:
    """A server with an empty bucket; it can be killed and started again with what it had."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="visnet-s3-"))
        names = ("s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self.url = f"http://127.0.0.1:{self._ports['s3']}"
        who = {"name": KEY, "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
        (self.folder / "identities.json").write_text(json.dumps({"identities": [who]}), encoding="utf-8")
        (self.folder / "data").mkdir()
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """What a client must find in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return a client of its own, whatever the environment says."""
        who = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": REGION}
        quick = Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.url, config=quick, **who)

    def bucket(self) -> str:
        """Make a bucket that nobody has used."""
        name = f"visnet-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def start(self) -> None:
        """Start it, and wait until it has answered a put."""
        ports = self._ports
        options = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",  # of which there is one
            "master.volumeSizeLimitMB": 256,
            "volume.max": 200,
            "volume.preStopSeconds": 0,
            "volume.minFreeSpace": "100MiB",
            "filer.localSocket": self.folder / "filer.sock",
            "s3": "true",
            "s3.localSocket": self.folder / "s3.sock",
            "s3.config": self.folder / "identities.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        for part in ("master", "volume", "filer", "s3"):
            options |= {f"{part}.port": ports[part], f"{part}.port.grpc": ports[f"{part}_grpc"]}
        words = [f"-{name}={value}" for name, value in options.items()]
        dying_with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*dying_with_us, WEED, "-logtostderr=true", "server", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            )
        until = time.monotonic() + READY_S
        client = self.client()
        while True:
            try:
                if not client.list_buckets()["Buckets"]:
                    client.create_bucket(Bucket="ready")
                client.put_object(Bucket="ready", Key="ready", Body=b"ready")
                return
            except (BotoCoreError, ClientError) as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise RuntimeError(f"no S3 server: {error}\n{said}") from None
                time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """End it, and remove what it had."""
        self.kill()
        shutil.rmtree(self.folder)
        for port in self._ports.values():  # that it has in /tmp, whatever it is told
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports
