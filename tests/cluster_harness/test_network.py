from dev.cluster.network import removal

FOREIGN = [
    "-P FORWARD ACCEPT",
    "-N DOCKER",
    "-N CNI-FORWARD",
    "-A FORWARD -j DOCKER",
    '-A FORWARD -m comment --comment "no KUBE-SERVICES here" -j CNI-FORWARD',
]
OURS = [
    "-N KUBE-SERVICES",
    "-N SLUICE-FORWARD",
    '-A FORWARD -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    "-A FORWARD -j SLUICE-FORWARD",
    "-A SLUICE-FORWARD -s 198.18.0.0/16 -j ACCEPT",
]


def test_nothing_is_removed_where_nothing_is_ours() -> None:
    assert removal(FOREIGN) == []


def test_our_chains_and_what_leads_to_them_are_removed_and_nothing_else() -> None:
    assert removal([*FOREIGN, *OURS]) == [
        '-D FORWARD -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-D FORWARD -j SLUICE-FORWARD",
        "-F KUBE-SERVICES",
        "-F SLUICE-FORWARD",
        "-X KUBE-SERVICES",
        "-X SLUICE-FORWARD",
    ]
