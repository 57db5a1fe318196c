"""All services of docker-compose.yml, started in their order, in one temporary room that is removed at the end."""

from __future__ import annotations

import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.compose_here import user
from tests.support.compose_here.compose_file import Service, read_env_file, read_services
from tests.support.compose_here.container import Container
from tests.support.compose_here.images import Image, build_image, postgres_image, prefect_image
from tests.support.compose_here.index import reachable_index
from tests.support.compose_here.places import Places, free_addresses

PORTS = [5432, 4200, 8080, 4300]
"""What the services listen on."""
POSTGRES_DATA = "/var/lib/postgresql/data"


def find_postgres() -> Path | None:
    """The folder of the programs of an installed Postgres; of several versions, the newest."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    whole = [
        folder for folder in folders if all((folder / name).is_file() for name in ("initdb", "pg_isready"))
    ]
    return whole[-1] if whole else None


@dataclass
class Stack:
    containers: dict[str, Container]
    places: Places
    data: Path
    """The worker's data folder on this machine."""

    @property
    def api(self) -> str:
        return f"http://{self.places.addresses['server']}:4200/api"

    def up(self) -> None:
        for container in self.containers.values():
            say(f"starting {container.name} ...")
            container.start()
            container.wait_until_healthy()

    def all_healthy(self) -> bool:
        return all(container.is_healthy() for container in self.containers.values())

    def restart_what_ended(self) -> list[str]:
        """As `restart: unless-stopped` does. Returns the names."""
        ended = [container for container in self.containers.values() if not container.is_up()]
        for container in ended:
            container.kill()
            container.start()
        return [container.name for container in ended]

    def down(self) -> dict[str, float]:
        """Stop everything, in the reverse order. Returns the seconds that each took."""
        return {name: self.containers[name].stop() for name in reversed(self.containers)}


@contextmanager
def stack(checkout: Path, postgres: Path) -> Iterator[Stack]:
    """The images are made, nothing is started yet. At the end nothing is left, in whatever way the block ends.
    `postgres`: the folder of its programs."""
    room = Path(tempfile.mkdtemp(prefix="steca-compose-here-"))
    room.chmod(0o755)
    made: Stack | None = None
    try:
        made = _make(checkout, postgres, room)
        yield made
    except BaseException:
        for container in made.containers.values() if made else ():
            say(f"----- end of the log of {container.name}\n{container.last_lines()}")
        raise
    finally:
        for container in reversed(made.containers.values()) if made else ():
            container.kill()
        shutil.rmtree(room)


def _make(checkout: Path, postgres: Path, room: Path) -> Stack:
    variables = read_env_file(checkout / ".env.example") | {"POSTGRES_PASSWORD": secrets.token_hex(16)}
    services = read_services(checkout / "docker-compose.yml", variables)
    addresses = free_addresses(list(services), PORTS)
    user.make_folder(room / "volumes")
    (room / "logs").mkdir()

    started = time.monotonic()
    worker = services["worker"].build or {}
    assert services["view"].build == worker, "the pages have an image of their own"
    given = worker.get("args", {}) | reachable_index(checkout / "Dockerfile", room)
    images: dict[str, Image] = {}
    images["worker"], folders = build_image(
        checkout / worker["context"], worker.get("dockerfile", "Dockerfile"), given, room / "worker"
    )
    images["view"] = images["worker"]
    images["server"] = prefect_image(services["server"], room / "server")
    say(f"the install of worker and server took {time.monotonic() - started:.0f} s")
    places = Places(addresses, folders | _volumes(services, folders, room / "volumes"))
    images["postgres"] = postgres_image(
        services["postgres"],
        room / "postgres",
        postgres,
        places.folders[POSTGRES_DATA],
        addresses["postgres"],
    )
    containers = {name: _container(service, images[name], places, room) for name, service in services.items()}
    return Stack(containers, places, images["worker"].folder / "data")


def _volumes(services: dict[str, Service], folders: dict[str, Path], root: Path) -> dict[str, Path]:
    """The folders of the volumes. What an image has at a volume's place is its content, with its owner."""
    found = {}
    for service in services.values():
        for _, target in service.volumes:
            inside = next((here / Path(target).relative_to(path) for path, here in folders.items()
                           if Path(target).is_relative_to(path)), None)  # fmt: skip
            found[target] = inside or root / target.strip("/").replace("/", "-")
            found[target].exists() or user.make_folder(found[target])
    return found


def _container(service: Service, image: Image, places: Places, room: Path) -> Container:
    environment = image.environment | service.environment
    if service.name == "postgres":
        environment |= {"PGDATA": POSTGRES_DATA}
    here = {key: places.here(service.name, value) for key, value in environment.items() if key != "PATH"}
    check = service.healthcheck
    return Container(
        name=service.name,
        command=[places.here(service.name, word) for word in service.command or image.command],
        folder=image.folder,
        environment=here | {"PATH": environment["PATH"]},
        healthcheck=type(check)(
            [places.here(service.name, word) for word in check.command],
            check.interval, check.timeout, check.retries, check.start_period,
        ),
        stop_signal=image.stop_signal,
        stop_seconds=service.stop_seconds,
        home=room / "homes" / service.name,
        log=room / "logs" / f"{service.name}.log",
    )  # fmt: skip


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
