"""Volumes for the local cluster: folders of the machine, made beforehand, that any user may write to.

Kubernetes has no provisioner for them that lets users other than root write (hostPath ignores fsGroup). A volume
that is given up is emptied by the controller manager's own recycler, whose pod runs our busybox, and is free again.
"""

from __future__ import annotations

import json
from pathlib import Path

CLASS = "sluice-local"
_VOLUMES = 40
_SIZE = "10Gi"


def manifests(folder: Path) -> str:
    """Make the folders, and give the storage class and the volumes as a manifest."""
    objects: list[dict[str, object]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "Immediate",
        }
    ]
    for number in range(_VOLUMES):
        path = folder / f"local-{number}"
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o777)
        objects.append(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": path.name},
                "spec": {
                    "storageClassName": CLASS,
                    "capacity": {"storage": _SIZE},
                    "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
                    "persistentVolumeReclaimPolicy": "Recycle",
                    "hostPath": {"path": str(path), "type": "Directory"},
                },
            }
        )
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def recycler(image: str) -> str:
    """The pod that empties a volume; the controller manager puts the volume in the place of the first one."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "volume-recycler-", "namespace": "kube-system"},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 60,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "recycler",
                    "image": image,
                    "command": [
                        "/bin/find",
                        "/volume",
                        "-mindepth",
                        "1",
                        "-maxdepth",
                        "1",
                        "-exec",
                        "rm",
                        "-rf",
                        "{}",
                        "+",
                    ],
                    "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
                }
            ],
            "volumes": [{"name": "volume", "emptyDir": {}}],
        },
    }
    return json.dumps(pod)
