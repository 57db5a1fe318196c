"""docker-compose.yml without a container engine: the same processes with the same environment, read from that file and
the Dockerfile.

What differs from containers, and nothing else:

- **Addresses**: a service has a loopback address of its own instead of a host name and a network of its own. Its own
  127.0.0.1 and 0.0.0.0 become that address, and the names of other services in URLs become theirs. Ports stay.
- **Folders**: a path in a container (/app, /games, the target of a volume) becomes a folder in one temporary room.
- **Base images** are not here. Postgres is the one installed on this machine. The Prefect image is a virtual
  environment with the Prefect of its tag. The worker's is a virtual environment, and the steps of the Dockerfile are
  carried out in it, but for `apt-get`.
- **The user** of every process is the one who runs this, or nobody where that is root.
"""
