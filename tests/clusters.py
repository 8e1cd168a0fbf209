"""Clusters of several nodes on one machine: Slurm with its controller and daemons, and Ray; a node can be lost."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE_S = 60.0
RAY = str(Path(sys.executable).with_name("ray"))
SLURM = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
JobRequeue=1
KillWait=3
SlurmdTimeout=10
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=3000 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=3000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def lacking_slurm() -> str:
    """Return why Slurm cannot be run here, empty where it can."""
    if missing := [name for name in SLURM if shutil.which(name, path=_path()) is None]:
        return f"no {', '.join(missing)} here (Debian: apt-get install slurmctld slurmd slurm-client munge)"
    return "" if os.geteuid() == 0 else "Slurm's daemons are run as root"


@dataclass(frozen=True)
class Slurm:
    """A controller and two nodes of one processor each; `environment` is what its commands need."""

    place: Path
    environment: dict[str, str]

    def says(self, *command: str) -> str:
        """Return what one of Slurm's commands prints."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def lose_node_of(self, pid: int) -> str:
        """Kill the daemon of the node on which a process runs, and all that it started; return the node's name."""
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        node = next(one for one in variables if one.startswith(b"SLURMD_NODENAME=")).partition(b"=")[2].decode()
        daemon = int((self.place / f"slurmd-{node}.pid").read_text())
        os.kill(daemon, signal.SIGKILL)
        step = next(parent for parent in psutil.Process(pid).parents() if parent.name().startswith("slurmstepd"))
        kill_tree(step.pid)
        return node


@contextlib.contextmanager
def slurm(place: Path) -> Iterator[Slurm]:
    """Run a Slurm of two nodes below `place` (a short path: sockets have a limit)."""
    (place / "state").mkdir()
    place.chmod(0o755)  # munge trusts no socket in a folder that others may write, or that nobody may enter
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    text = CONFIGURATION.format(host=socket.gethostname().partition(".")[0], place=place, ports=free_ports(3))
    (place / "slurm.conf").write_text(text)
    environment = {**os.environ, "SLURM_CONF": str(place / "slurm.conf"), "PATH": _path()}
    files = {"key-file": key, "socket": place / "munge.socket", "pid-file": place / "munged.pid"}
    files |= {"log-file": place / "munged.log", "seed-file": place / "munge.seed"}
    cluster = Slurm(place, environment)
    try:
        cluster.says("munged", "--force", *(f"--{name}={path}" for name, path in files.items()))
        cluster.says("slurmctld", "-c")
        for node in ("n1", "n2"):
            cluster.says("slurmd", "-N", node)
        until(lambda: cluster.says("sinfo", "-h", "-o", "%t %D").split() == ["idle", "2"], "Slurm's nodes are not idle")
        yield cluster
    finally:
        for path in place.glob("*.pid"):
            with contextlib.suppress(ValueError, psutil.Error):
                kill_tree(int(path.read_text()))


class Ray:
    """A head without processors, and two nodes of one; `environment` is what its commands need."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        port = self.address.rpartition(":")[2]
        self.nodes: list[int] = []
        # A head asks for the token that an earlier Ray may have left in the home directory; the other nodes give none.
        self.environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        for _ in range(2):
            self._start(f"--address={self.address}", "--num-cpus=1")

    def _start(self, *options: str) -> None:
        before = _raylets()
        command = [RAY, "start", *options, "--disable-usage-stats"]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **self.environment})
        assert done.returncode == 0, done.stdout + done.stderr
        self.nodes += _raylets() - before

    def lose_node_of(self, pid: int) -> None:
        """Kill the node on which a worker process runs, and all its workers."""
        raylet = next(parent.pid for parent in psutil.Process(pid).parents() if parent.pid in self.nodes)
        assert raylet != self.nodes[0]
        kill_tree(raylet)

    def stop(self) -> None:
        """End all nodes."""
        subprocess.run(
            [str(Path(sys.executable).with_name("ray")), "stop", "--force"], capture_output=True, check=False
        )


def _raylets() -> set[int]:
    return {process.pid for process in psutil.process_iter(["name"]) if process.info["name"] == "raylet"}


def free_ports(n: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, at once."""
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            one.kill()


def until(holds: Callable[[], bool], otherwise: str, seconds: float = PATIENCE_S) -> None:
    """Wait until something holds; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
