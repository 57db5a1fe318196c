"""The simulator: one JVM, and any number of independent episodes in it.

Three things make a play depend on more than task and actions in the simulator as it is shipped:

- the order of sets, which follows the objects' identity hashes: with -XX:hashCode=2 all of them are equal, and a set
  keeps the order in which it was filled
- the random numbers, which all episodes of a JVM share: here each episode has its own `scala.util.Random`
- the numbers of new objects, which they share too: each episode has its own `util.UniqueIdentifier`

So an episode is as it would be alone in a new JVM. One call runs at a time: the JVM has one of each, exchanged when
another episode goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from configs.child_environment import environment_without_secrets
from environments.base import EnvironmentFault

JVM_OPTIONS = ("-Xmx600m", "-XX:+UseSerialGC", "-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
INSTALL_JAVA = "apt-get install default-jre-headless (or set JAVA_HOME)"
ANSWER_SECONDS = 300.0
"""Longest wait for an answer; making a gold path took 20 s at most."""
_INTERFACE = "scienceworld.runtime.pythonapi.PythonInterface"
R = TypeVar("R")


class Answer(NamedTuple):
    """`score` is out of 100; it is negative after a focus on the wrong thing."""

    observation: str
    score: int
    completed: bool


class SimulatorError(Exception):
    """The simulator failed on one call; the episode and the JVM go on. The message is the Java exception."""


class Simulator:
    """A running JVM, which ends with this process, however that ends."""

    def __init__(self, jar: Path) -> None:
        """Takes a second or two. Raises EnvironmentFault if Java is missing or does not start."""
        from py4j.java_gateway import GatewayParameters, JavaGateway

        self._folder = tempfile.TemporaryDirectory(
            prefix="steca-scienceworld-"
        )  # the simulator writes a file
        port, token, self.process = _start(jar, Path(self._folder.name))
        self.lock = threading.RLock()
        self.current: Episode | None = None
        _silence_py4j()
        self.gateway = JavaGateway(
            gateway_parameters=GatewayParameters(
                port=port,
                auth_token=token,
                read_timeout=ANSWER_SECONDS,
                enable_memory_management=False,  # else each collected object calls the JVM, also one that has ended
            )
        )
        self._singletons = [
            self._singleton(name) for name in ("scala.util.Random$", "util.UniqueIdentifier$")
        ]
        java = self.gateway.jvm.java.lang
        if java.System.identityHashCode(java.Object()) != java.System.identityHashCode(java.Object()):
            vendor = java.System.getProperty("java.vm.name")
            self.close()
            raise EnvironmentFault(
                f"scienceworld: {vendor} ignores -XX:hashCode=2, so episodes could not be repeated: use an OpenJDK, "
                f"e.g. {INSTALL_JAVA}"
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the JVM. Harmless if it has ended."""
        with contextlib.suppress(Exception):  # the connection may be broken in any way
            self.gateway.close(keep_callback_server=True)
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self._folder.cleanup()

    def release(self, *objects: Any) -> None:
        """Let the JVM collect objects that are not needed any more."""
        if self.alive:
            with contextlib.suppress(ConnectionError):
                self.call(lambda: [self.gateway.detach(found) for found in objects])

    def call(self, work: Callable[[], R]) -> R:
        """What `work` returns, one at a time. Raises ConnectionError if the JVM is gone (and ends one that does not
        answer), SimulatorError for an exception in the simulator."""
        from py4j.protocol import Py4JError, Py4JJavaError

        with self.lock:
            fault = f"exit code {self.process.poll()}"
            try:
                if self.alive:
                    return work()
            except Py4JJavaError as error:
                fault = _java_exception(error)
                if "OutOfMemoryError" not in fault:
                    raise SimulatorError(fault) from error
            except (Py4JError, OSError) as error:
                fault = f"{type(error).__name__}: {error}"
            self.close()
        raise ConnectionError(f"scienceworld: the JVM has ended or does not answer ({fault})")

    def new_singletons(self) -> list[Any]:
        """Random numbers and object numbers of a new episode; they are in use from now on."""
        return [constructor.newInstance(nothing) for _, constructor, nothing in self._singletons]

    def use(self, singletons: list[Any]) -> None:
        for (field, _, _), instance in zip(self._singletons, singletons, strict=True):
            field.set(None, instance)

    def interface(self) -> Any:
        return getattr(self.gateway.jvm, _INTERFACE)()

    def _singleton(self, name: str) -> tuple[Any, Any, Any]:
        """A Scala object: the field that holds its only instance, its constructor, and the constructor's arguments."""
        java = self.gateway.jvm.java.lang
        found = java.Class.forName(name)
        constructor = found.getDeclaredConstructor(self.gateway.new_array(java.Class, 0))
        constructor.setAccessible(True)
        return found.getField("MODULE$"), constructor, self.gateway.new_array(java.Object, 0)


class Episode:
    """One episode at a time, loaded again for the next one."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._singletons, self._interface = simulator.call(self._create)

    def close(self) -> None:
        self.simulator.release(self._interface, *self._singletons)

    def _create(self) -> tuple[list[Any], Any]:
        self.simulator.current = self
        return self.simulator.new_singletons(), self.simulator.interface()

    def load(self, task_type: str, variation: int, simplification: str) -> tuple[str, str]:
        """Start a task: what it is, and the first look around."""
        return self._call(lambda: (self._load(task_type, variation, simplification), self._look()))

    def gold_path(self, task_type: str, variation: int, simplification: str) -> list[str]:
        """The actions of the simulator's own solution. The episode has to be loaded again afterwards."""
        return self._call(lambda: self._gold_path(task_type, variation, simplification))

    def step(self, action: str) -> Answer:
        return self._call(lambda: self._step(action))

    def _call(self, work: Callable[[], R]) -> R:
        def exchanged() -> R:
            if self.simulator.current is not self:
                self.simulator.use(self._singletons)
                self.simulator.current = self
            return work()

        return self.simulator.call(exchanged)

    def _load(self, task_type: str, variation: int, simplification: str, gold: bool = False) -> str:
        self._interface.load(task_type, variation, simplification, gold)
        # Ten megabytes that are not needed once a task is loaded.
        getattr(self._interface, "taskMaker_$eq")(None)
        return str(self._interface.getTaskDescription())

    def _look(self) -> str:
        return str(self._interface.step("look around"))

    def _gold_path(self, task_type: str, variation: int, simplification: str) -> list[str]:
        self._load(task_type, variation, simplification, gold=True)
        path = self._interface.getGoldActionSequence()
        actions = [str(action) for action in path]
        self.simulator.gateway.detach(path)
        return actions

    def _step(self, action: str) -> Answer:
        observation = str(self._interface.step(action))
        score = round(100 * self._interface.getScore())
        return Answer(observation, score, bool(self._interface.getCompleted()))


def _start(jar: Path, folder: Path) -> tuple[int, str, subprocess.Popen[bytes]]:
    """Start the JVM: the port and the token of its gateway, and the process. It ends when its standard input does, that
    is with this process. It is not in this process's group: Ctrl-C is for this process. Raises EnvironmentFault."""
    from py4j.java_gateway import find_jar_path

    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    classes = os.pathsep.join((find_jar_path(), str(jar)))
    command = [
        java,
        *JVM_OPTIONS,
        "-classpath",
        classes,
        "py4j.GatewayServer",
        "--die-on-broken-pipe",
        "--enable-auth",
        "0",
    ]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=environment_without_secrets(),
                process_group=0,
            )
        except OSError as error:
            advice = (
                f"JAVA_HOME is {os.environ['JAVA_HOME']}: correct or unset it"
                if os.sep in java
                else INSTALL_JAVA
            )
            raise EnvironmentFault(
                f"scienceworld: there is no {java} ({error.strerror}): {advice}"
            ) from error
        assert process.stdout
        port, token = process.stdout.readline().strip(), process.stdout.readline().strip()
        if not port.isdigit() or not token:
            process.kill()
            errors.seek(0)
            output = b" ".join((port, token, process.stdout.read(), errors.read())).decode(errors="replace")
            said = " ".join(output.split())[:300] or "it said nothing"
            raise EnvironmentFault(
                f"scienceworld: Java does not start ({said}): check JAVA_HOME and JAVA_TOOL_OPTIONS"
            )
    threading.Thread(target=_drain, args=(process.stdout,), daemon=True).start()
    return int(port), token.decode(), process


def _drain(stream: IO[bytes]) -> None:
    """Throw away what the simulator prints: a full pipe would stop it."""
    with stream:
        while os.read(stream.fileno(), 1 << 16):
            pass


def _java_exception(error: Any) -> str:
    """The first line of a Java exception. A JVM without memory cannot even say that."""
    try:
        return str(error.java_exception.toString()).partition("\n")[0]
    except Exception as failure:
        return f"OutOfMemoryError or another exception that cannot be read ({type(failure).__name__})"


def _silence_py4j() -> None:
    """py4j logs each failed connection with a traceback, partly in the root logger. The failure is raised anyway."""
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    root = logging.getLogger()
    if _not_from_py4j not in root.filters:
        root.addFilter(_not_from_py4j)


def _not_from_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in Path(record.pathname).parts
