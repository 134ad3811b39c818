"""`dvc`, and the `python -m visnet` of its stages, as processes forked from one that has imported all of it.

Each is a process as before, found on the PATH and called by `dvc` through a shell; it is spared the seconds of imports.
They run this code, not the workspace's copy of it: where a test changes that copy, `workspace.shell` starts real ones.
"""

import atexit
import functools
import json
import multiprocessing
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tests.apart import SERVER, within
from tests.workspace import environment

FORK = multiprocessing.get_context("fork")
MESSAGE_BYTES = 1 << 17

# What stands on the PATH as `dvc` and as `python`: it hands its words, folder, environment and streams over, and waits.
# Any other Python is started, and is told that it is this one, so that what it starts itself is forked likewise.
CALL = """#!{python} -IS
import os, sys
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
if words[:3] == ["python", "-m", "dvc"]:
    words = words[2:]
if words[0] == "python" and words[1:3] != ["-m", "visnet"]:
    os.execv({python!r}, sys.argv)
import json, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    socket.send_fds(server, [json.dumps([words, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
    said = server.recv(16)
code = int(said or 1)
if code < 0:
    import signal
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def dvc(folder: Path, *words: str) -> str:
    """Run `dvc` in a workspace; it must end well."""
    done = tried(folder, *words)
    assert done.returncode == 0, f"dvc {' '.join(words)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def tried(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `dvc` in a workspace, whatever comes of it."""
    env = {**environment(), "PATH": path()}
    command = [programs() / "dvc", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)


def path() -> str:
    """Return a PATH whose `dvc` and `python` are these."""
    return os.pathsep.join([str(programs()), environment()["PATH"]])


def python() -> str:
    """Return the Python that forks these, to be the `sys.executable` of a process that starts them by it."""
    return str(programs() / "python")


@functools.cache
def programs() -> Path:
    """Start the process that is forked, once, and return the folder of the programs that ask it.

    It is that of a virtual environment with all that is installed here.
    """
    folder = Path(tempfile.mkdtemp(prefix="forked-"))
    address = str(folder / "socket")
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_exec_prefix}/bin\n", encoding="utf-8")
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    (folder / "bin").mkdir()
    for name in ("dvc", "python"):
        program = folder / "bin" / name
        program.write_text(CALL.format(python=sys.executable, address=address), encoding="utf-8")
        program.chmod(0o755)
    ours, theirs = SERVER.Pipe()
    server = SERVER.Process(target=_serve, args=(address, theirs))
    server.start()
    theirs.close()
    ours.recv()

    def end() -> None:
        ours.close()
        server.join(10)
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return folder / "bin"


def _serve(address: str, asker: Connection) -> None:
    """Fork whatever is asked for, until the asking process is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        asker.send(True)
        while asker not in select.select([listener, asker], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                FORK.Process(target=_attend, args=(connection,)).start()


def _attend(connection: socket.socket) -> None:
    """Run what one caller asks for, and tell how it ended; kill it once the caller is gone."""
    message, streams, *_ = socket.recv_fds(connection, MESSAGE_BYTES, 3)
    words, folder, environ = json.loads(message)
    child = FORK.Process(target=_become, args=(words, Path(folder), environ, streams))
    child.start()
    for stream in streams:
        os.close(stream)
    if connection in select.select([connection, child.sentinel], [], [])[0]:
        child.kill()
    child.join()
    connection.send(str(child.exitcode).encode())


def _become(words: Sequence[str], folder: Path, environ: dict[str, str], streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(environ)
    warnings.simplefilter("ignore")
    with within(folder):
        if words[0] == "dvc":
            from dvc.cli import main

            sys.argv = list(words)
            sys.exit(main(list(words[1:])))
        from visnet import __main__ as visnet

        sys.argv = list(words[2:])
        sys.exit(visnet.main())
