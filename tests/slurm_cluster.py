"""A Slurm of one node that lives in a folder: own keys, ports and state, so that another on the machine is left alone."""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
SECONDS_TO_START = 30.0

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
PlugStackConfig={folder}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,NoShared
JobCompType=jobcomp/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=5
InactiveLimit=0
KillWait=2
OverTimeLimit=0
MinJobAge=300
DefMemPerCPU=500
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=1440 State=UP
"""


class Cluster:
    """The daemons and their folder.

    Args:
        folder: Everything of this Slurm lies in it.
        cpus: That the node says it has.
        memory_mb: That the node says it has.
    """

    def __init__(self, folder: Path, cpus: int = 4, memory_mb: int = 8000) -> None:
        """Write keys and configuration; nothing is started."""
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        (folder / "plugstack.conf").touch()
        text = CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            ports=_free_ports(2),
            cpus=cpus,
            memory_mb=memory_mb,
        )
        self.file = folder / "slurm.conf"
        self.file.write_text(text, encoding="utf-8")
        # steps of a job are started without the variables of Slurm, those that name its configuration included
        starter = folder / "bin" / "srun"
        starter.parent.mkdir()
        starter.write_text(f'#!/bin/sh\nSLURM_CONF={self.file} exec {_program("srun")} "$@"\n', encoding="utf-8")
        starter.chmod(0o755)

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which commands of Slurm find this one."""
        return {"SLURM_CONF": str(self.file), "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def start(self) -> None:
        """Start all daemons and wait until the node is idle."""
        try:
            for name in DAEMONS:
                self.start_one(name)
        except BaseException:
            self.stop()
            raise

    def start_one(self, name: str) -> None:
        """Start a daemon and wait until it answers."""
        socket_file, log = self.folder / "munge.socket", self.folder / "munged.log"
        munge = [
            f"--{key}={self.folder / file}"
            for key, file in (("key-file", "munge.key"), ("pid-file", "munged.pid"), ("seed-file", "munged.seed"))
        ]
        arguments = {
            "munged": ["--foreground", "--force", f"--socket={socket_file}", f"--log-file={log}", *munge],
            "slurmctld": ["-D"],
            "slurmd": ["-D", "-c"],
        }[name]
        ready = {
            "munged": socket_file.exists,
            "slurmctld": self._answers,
            "slurmd": self._idle,
        }[name]
        with (self.folder / f"{name}.out").open("ab") as told:
            self._running[name] = subprocess.Popen(
                [_program(name) or name, *arguments],
                env=os.environ | self.variables,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        self._wait(name, ready)

    def lose_node(self) -> None:
        """Kill the node's daemon and all that runs there with no warning, as when a node loses power."""
        daemon = self._running.pop("slurmd")
        daemon.kill()
        daemon.wait()
        for keeper in self._keepers():
            for process in (keeper, *keeper.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

    def _keepers(self) -> list[psutil.Process]:
        """Return the processes that keep watch over the jobs of this Slurm."""
        found = []
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error):
                if process.name() == "slurmstepd" and process.environ().get("SLURM_CONF") == str(self.file):
                    found.append(process)
        return found

    def stop(self) -> None:
        """Cancel all jobs and end the daemons."""
        if "slurmctld" in self._running:
            self.ask("scancel", f"--user={getpass.getuser()}")
            end = time.monotonic() + 10
            while "slurmd" in self._running and self.ask("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.2)
        for name in reversed(DAEMONS):
            process = self._running.pop(name, None)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints; nothing if it fails."""
        done = subprocess.run(command, env=os.environ | self.variables, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _answers(self) -> bool:
        return bool(self.ask("scontrol", "ping")) and "UP" in self.ask("scontrol", "ping")

    def _idle(self) -> bool:
        return self.ask("sinfo", "-h", "-o", "%T") in ("idle", "mixed", "allocated")

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while not ready():
            if self._running[name].poll() is not None or time.monotonic() > end:
                told = (self.folder / f"{name}.out").read_text(encoding="utf-8", errors="replace")
                message = f"{name} did not start: {told[-2000:]}"
                raise RuntimeError(message)
            time.sleep(0.1)


def missing_programs() -> list[str]:
    """Return which of the programs of Slurm and munge are not installed."""
    return [name for name in (*DAEMONS, "sbatch", "srun", "squeue", "scancel") if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
