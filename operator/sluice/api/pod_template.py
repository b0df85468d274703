"""The part of a pod that users may shape, at three levels (cluster, pipeline, step). Merged by `sluice.planning.pods`.

Only what is named here can be set. What would give a step more than the restricted Pod Security profile allows has to be
written out by the user and is then judged by the namespace's own Pod Security level.
"""

from typing import Annotated, Any

from pydantic import Field

from sluice.api.base import OPAQUE, DnsLabel, DnsSubdomain, Model, ObjectName, list_map

Opaque = Annotated[dict[str, Any], Field(json_schema_extra=OPAQUE)]
StringMap = dict[str, str]


class Volume(Model):
    """A volume of the pod: a name and one Kubernetes volume source (persistentVolumeClaim, emptyDir, configMap...)."""

    name: DnsLabel = Field(description="Name, for volumeMounts to refer to.")
    persistent_volume_claim: Opaque | None = Field(default=None, description="A claim: {claimName, readOnly}.")
    empty_dir: Opaque | None = Field(default=None, description="Scratch space: {sizeLimit, medium}.")
    config_map: Opaque | None = Field(default=None, description="A ConfigMap as files: {name, items, optional}.")
    secret: Opaque | None = Field(default=None, description="A Secret as files: {secretName, items, optional}.")
    projected: Opaque | None = Field(default=None, description="Several sources in one folder: {sources}.")
    downward_api: Opaque | None = Field(
        default=None, alias="downwardAPI", description="Facts of the pod as files: {items}."
    )
    csi: Opaque | None = Field(default=None, description="An ephemeral volume of a CSI driver.")
    ephemeral: Opaque | None = Field(default=None, description="A claim that lives as long as the pod.")
    nfs: Opaque | None = Field(default=None, description="An NFS export: {server, path, readOnly}.")


class VolumeMount(Model):
    """Where a volume appears in the container."""

    name: str = Field(description="Name of a volume of the pod.", max_length=63)
    mount_path: str = Field(description="Folder in the container.", max_length=1024)
    sub_path: str | None = Field(default=None, description="Folder inside the volume.", max_length=1024)
    read_only: bool | None = Field(default=None, description="Mount without the right to write.")


class PodMetadata(Model):
    """Labels and annotations to put on the pod. Keys of sluice.dev cannot be set."""

    labels: StringMap = Field(default={}, description="Labels.")
    annotations: StringMap = Field(default={}, description="Annotations.")


class PodSpec(Model):
    """Fields of the pod's spec that apply to every container in it. Field names and meanings are those of Kubernetes."""

    service_account_name: DnsSubdomain | None = Field(
        default=None, description="Account that the pod runs as. No token of it is mounted."
    )
    image_pull_secrets: list[ObjectName] = Field(
        default=[], max_length=16, description="Secrets for private registries.", json_schema_extra=list_map()
    )
    node_selector: StringMap = Field(default={}, description="Labels that the node must have.")
    tolerations: list[Opaque] = Field(default=[], max_length=32, description="Taints that the pod bears.")
    affinity: Opaque | None = Field(default=None, description="Affinity to nodes and pods.")
    topology_spread_constraints: list[Opaque] = Field(
        default=[], max_length=16, description="How pods spread over zones and nodes."
    )
    priority_class_name: str | None = Field(default=None, max_length=253, description="Priority class.")
    runtime_class_name: str | None = Field(default=None, max_length=253, description="Runtime class.")
    scheduler_name: str | None = Field(default=None, max_length=253, description="Scheduler.")
    termination_grace_period_seconds: int | None = Field(
        default=None, ge=0, le=86400, description="Seconds between SIGTERM and SIGKILL. Default: 30."
    )
    security_context: Opaque | None = Field(
        default=None, description="Pod security context, merged over the restricted default."
    )
    dns_policy: str | None = Field(default=None, max_length=63, description="DNS policy.")
    dns_config: Opaque | None = Field(default=None, description="DNS settings.")
    volumes: list[Volume] = Field(
        default=[], max_length=32, description="Volumes of the pod.", json_schema_extra=list_map()
    )


class PodTemplate(Model):
    """What the pods of a pipeline or a step have in common."""

    metadata: PodMetadata | None = Field(default=None, description="Labels and annotations.")
    spec: PodSpec | None = Field(default=None, description="Placement, volumes, security, account.")
