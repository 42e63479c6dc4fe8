"""CloudNativePG and its Barman Cloud plugin.

https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1 and https://cloudnative-pg.io/plugin-barman-cloud/docs.
"""

from typing import Annotated, Literal

from pydantic import Field

from spacehub_dev.cluster.custom_resources.strict import (
    KeyOfSecret,
    Metadata,
    Name,
    Named,
    Quantity,
    Resources,
    Strict,
)

PLUGIN = "barman-cloud.cloudnative-pg.io"


class Volume(Strict):
    size: Quantity


class Affinity(Strict):
    enable_pod_anti_affinity: bool
    pod_anti_affinity_type: Literal["required", "preferred"]
    topology_key: str


class Synchronous(Strict):
    method: Literal["any", "first"]
    number: Annotated[int, Field(gt=0)]
    data_durability: Literal["required", "preferred"]


class Configuration(Strict):
    parameters: dict[str, str]
    pg_hba: Annotated[list[str], Field(alias="pg_hba")]
    synchronous: Synchronous | None = None


class Role(Strict):
    name: Name
    ensure: Literal["present", "absent"]
    login: bool
    password_secret: Named


class Managed(Strict):
    roles: Annotated[list[Role], Field(min_length=1)]


class PluginParameters(Strict):
    barman_object_name: Name


class Plugin(Strict):
    name: Literal["barman-cloud.cloudnative-pg.io"]
    is_wal_archiver: Annotated[bool, Field(alias="isWALArchiver")]
    parameters: PluginParameters


class ClusterSpec(Strict):
    image_name: str
    instances: Annotated[int, Field(gt=0)]
    enable_superuser_access: bool
    primary_update_strategy: Literal["unsupervised", "supervised"]
    storage: Volume
    wal_storage: Volume
    resources: Resources
    affinity: Affinity
    postgresql: Configuration
    managed: Managed
    plugins: list[Plugin] = Field([])


class Cluster(Strict):
    """A primary with its standbys."""

    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["Cluster"]
    metadata: Metadata
    spec: ClusterSpec


class DatabaseSpec(Strict):
    cluster: Named
    name: Name
    owner: Name
    database_reclaim_policy: Literal["retain", "delete"]


class Database(Strict):
    """One database of a cluster."""

    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["Database"]
    metadata: Metadata
    spec: DatabaseSpec


class PluginConfiguration(Strict):
    name: Literal["barman-cloud.cloudnative-pg.io"]


class ScheduledBackupSpec(Strict):
    schedule: Annotated[str, Field(pattern=r"^(\S+ ){5}\S+$")]  # six fields: seconds first
    cluster: Named
    method: Literal["plugin"]
    plugin_configuration: PluginConfiguration
    backup_owner_reference: Literal["none", "self", "cluster"]


class ScheduledBackup(Strict):
    """When a whole copy is made."""

    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["ScheduledBackup"]
    metadata: Metadata
    spec: ScheduledBackupSpec


class S3Credentials(Strict):
    access_key_id: KeyOfSecret
    secret_access_key: KeyOfSecret


class Compression(Strict):
    compression: Literal["gzip", "bzip2", "snappy"]


class Store(Strict):
    destination_path: Annotated[str, Field(pattern=r"^s3://[a-z0-9.-]+/")]
    endpoint_url: Annotated[str | None, Field(alias="endpointURL")] = None
    s3_credentials: Annotated[S3Credentials, Field(alias="s3Credentials")]
    wal: Compression
    data: Compression


class ObjectStoreSpec(Strict):
    retention_policy: Annotated[str, Field(pattern=r"^[1-9][0-9]*[dwm]$")]
    configuration: Store


class ObjectStore(Strict):
    """Where the backups go."""

    api_version: Literal["barmancloud.cnpg.io/v1"]
    kind: Literal["ObjectStore"]
    metadata: Metadata
    spec: ObjectStoreSpec
