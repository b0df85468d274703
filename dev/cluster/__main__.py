"""The commands: `python3 -m dev.cluster COMMAND`.

up          bring up the cluster, the images and the operator; keep what is up already
down        end it and leave nothing behind
kubeconfig  print the path of its kubeconfig
images      build the project's images and load them; --print only names them
status      say what is up
logs DIR    gather logs, events and descriptions
load FILE   bring an image archive to the nodes
env         print settings for a shell: eval "$(python3 -m dev.cluster env)"
helm        print the path of Helm, built if need be; needs no cluster

Progress goes to standard error; standard output holds only what was asked for.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dev.cluster import archive, diagnostics, install, local, packages, progress, provider, state
from dev.cluster.addons import ADDONS
from dev.cluster.addons.context import Context
from dev.cluster.cluster import Archive, load_missing
from dev.cluster.commands import end_running
from dev.cluster.errors import ClusterError
from dev.cluster.images import BUSYBOX, ProjectImages
from dev.cluster.kubectl import Kubectl
from dev.cluster.lock import exclusive
from dev.cluster.processes import Processes
from dev.cluster.settings import Settings
from dev.cluster.tools import Toolbox


class Commands:
    """One invocation: the settings and the parts that all commands share."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._toolbox = Toolbox(settings.cache)
        self._processes = Processes(settings.cluster / "processes", settings.logs)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="images")

    def up(self, addons: Sequence[str], *, operator: bool) -> None:
        """Bring everything up, and gather what is known when that fails."""
        with exclusive(self._settings.cluster):
            name = provider.choose(self._settings)
            cluster = provider.cluster(name, self._settings, self._toolbox, self._processes)
            kubectl = Kubectl(self._toolbox.kubectl, cluster.kubeconfig)
            images = ProjectImages(self._settings, provider.builder(name, self._settings))
            operator = operator and install.possible() and images.known
            if operator and name == "given":
                images.require_published()
            try:
                # Everything that takes long begins at once; the cluster's own tools are ahead in the queue.
                if name == "local":
                    self._toolbox.request(local.TOOLS)
                self._toolbox.request(("helm", *(tool for addon in addons for tool in ADDONS[addon].tools)))
                building = self._background.submit(images.build) if operator else None
                cluster.up()
                built = building.result() if building else {}
                load_missing(cluster, built.values())
                for addon in addons:
                    ADDONS[addon].up(Context(cluster, kubectl, self._processes, self._settings, self._toolbox))
                if operator:
                    names = {target: one.reference for target, one in built.items()} or images.references()
                    helm = self._toolbox.path("helm")
                    install.operator(kubectl, helm, cluster.kubeconfig, names["operator"], names["operator-gate"])
            except ClusterError:
                self._explain(kubectl, name)
                raise
        progress.say(f"the cluster is up: export KUBECONFIG={cluster.kubeconfig}")

    def down(self) -> None:
        """End the cluster, the add-ons' processes, and remove the cluster's folder."""
        if not self._settings.cluster.exists() and not self._settings.given_kubeconfig:
            progress.say("there is no cluster")
            return
        with exclusive(self._settings.cluster):
            name = provider.recorded(self._settings)
            if name is not None:
                provider.cluster(name, self._settings, self._toolbox, self._processes).down()
            self._processes.stop(*self._processes.names())
            state.clear(self._settings.cluster)

    def kubeconfig(self) -> None:
        """Print the path."""
        print(self._require_cluster())

    def env(self) -> None:
        """Print what a shell needs."""
        print(f"export KUBECONFIG={shlex.quote(str(self._require_cluster()))}")
        print(f"export PATH={shlex.quote(str(self._toolbox.bin))}:$PATH")

    def helm(self) -> None:
        """Print the path."""
        print(self._toolbox.path("helm"))

    def images(self, *, only_print: bool) -> None:
        """Print the images' names, after building and loading them."""
        name = provider.recorded(self._settings) or "local"
        images = ProjectImages(self._settings, provider.builder(name, self._settings))
        references = images.references()
        if not only_print:
            built = images.build()
            references |= {target: image.reference for target, image in built.items()}
            if name != "given" and self._settings.kubeconfig.exists():
                with exclusive(self._settings.cluster):
                    load_missing(provider.cluster(name, self._settings, self._toolbox, self._processes), built.values())
        for target, reference in references.items():
            print(f"{target}={reference}")
        print(f"busybox={BUSYBOX}")

    def load(self, file: Path) -> None:
        """Bring an archive to the nodes, whether or not they know its name."""
        self._require_cluster()
        with exclusive(self._settings.cluster):
            cluster = provider.cluster(provider.choose(self._settings), self._settings, self._toolbox, self._processes)
            cluster.load([Archive(archive.reference_of(file), file)])

    def logs(self, folder: Path) -> None:
        """Gather what there is to know."""
        self._require_cluster()
        cluster = provider.cluster(provider.choose(self._settings), self._settings, self._toolbox, self._processes)
        diagnostics.gather(cluster, Kubectl(self._toolbox.kubectl, cluster.kubeconfig), folder)
        print(folder)

    def status(self) -> None:
        """Print the parts, the nodes and the pods."""
        kubeconfig = self._require_cluster()
        cluster = provider.cluster(provider.choose(self._settings), self._settings, self._toolbox, self._processes)
        kubectl = Kubectl(self._toolbox.kubectl, kubeconfig)
        print(f"provider             {cluster.name}\nkubeconfig           {kubeconfig}")
        print("\n".join(cluster.status()))
        print(kubectl("get", "nodes", "--output=wide"), kubectl("get", "pods", "--all-namespaces"), sep="\n", end="")

    def close(self) -> None:
        """Wait for what has begun in the background."""
        self._background.shutdown(cancel_futures=True)
        self._toolbox.close()

    def _require_cluster(self) -> Path:
        if not self._settings.kubeconfig.exists():
            raise ClusterError(f"there is no cluster ({self._settings.kubeconfig} does not exist): run `make cluster`")
        return self._settings.kubeconfig

    def _explain(self, kubectl: Kubectl, name: str) -> None:
        """Gather what can be known about a failure, once the cluster has got as far as having logs."""
        if not self._settings.kubeconfig.exists():
            return
        folder = diagnostics.new_folder(self._settings)
        diagnostics.gather(provider.cluster(name, self._settings, self._toolbox, self._processes), kubectl, folder)
        progress.say(f"logs, events and descriptions are gathered in {folder}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m dev.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="bring up the cluster")
    up.add_argument("--addons", default="", help=f"comma-separated: {', '.join(ADDONS)}")
    up.add_argument("--no-operator", action="store_true", help="neither build images nor install the operator")
    for name in ("down", "kubeconfig", "env", "helm", "status"):
        commands.add_parser(name)
    commands.add_parser("images").add_argument(
        "--print", action="store_true", help="build nothing, only print the names"
    )
    commands.add_parser("load").add_argument("file", type=Path)
    commands.add_parser("logs").add_argument("folder", type=Path)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    options = _parser().parse_args(argv)
    os.environ["PATH"] = packages.search_path()
    try:
        commands = Commands(Settings.from_environment())
        try:
            match options.command:
                case "up":
                    addons = [name for name in options.addons.split(",") if name]
                    if unknown := set(addons) - set(ADDONS):
                        raise ClusterError(
                            f"there is no add-on {', '.join(sorted(unknown))}: there is {', '.join(ADDONS)}"
                        )
                    commands.up(addons, operator=not options.no_operator)
                case "images":
                    commands.images(only_print=options.print)
                case "load":
                    commands.load(options.file)
                case "logs":
                    commands.logs(options.folder)
                case name:
                    getattr(commands, name)()
        except BaseException:
            end_running()
            raise
        finally:
            commands.close()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `up` goes on from here, `down` removes what there is", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
