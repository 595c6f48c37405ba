"""``storage.config`` of ``type: kubernetes``: dex's options."""

from __future__ import annotations

from typing import Literal

import attrs

from dexcore.options import InvalidOption, option


@attrs.frozen
class Kubernetes:
    """A cluster: the one this process runs in, or one of a kubeconfig file."""

    in_cluster: bool = option(
        False, key="inCluster", help="Use the service account of the pod."
    )
    kube_config_file: str = option(
        "", key="kubeConfigFile", help="The path of a kubeconfig file."
    )
    crd_handling: Literal["ensure", "check"] = option(
        "ensure",
        key="crdHandling",
        choices=("ensure", "check"),
        help="`ensure` makes the custom resource definitions that are missing;"
        " `check` refuses to start without them.",
    )

    def __attrs_post_init__(self) -> None:
        if self.in_cluster and self.kube_config_file:
            raise InvalidOption(
                "cannot specify both 'inCluster' and 'kubeConfigFile'",
                remedy="Leave out one of them.",
            )
        if not self.in_cluster and not self.kube_config_file:
            raise InvalidOption(
                "must specify either 'inCluster' or 'kubeConfigFile'",
                remedy="Set inCluster: true if dexcore runs in the cluster.",
            )
        if self.crd_handling not in ("ensure", "check"):
            raise InvalidOption(
                f"{self.crd_handling!r} is neither 'ensure' nor 'check'",
                key="crdHandling",
            )
