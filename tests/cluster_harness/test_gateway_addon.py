"""What Traefik and its Gateway are given."""

from __future__ import annotations

from string import Template

import yaml

from dev.cluster import network
from dev.cluster.addons import gateway
from dev.cluster.settings import Ports


def test_the_listener_of_the_gateway_has_the_port_of_an_entry_point() -> None:
    ports = Ports(gateway=1234, gateway_metrics=1235)
    text = Template(gateway._MANIFEST.read_text()).substitute(address="198.18.0.1", port=1234, metrics_port=1235)
    found = {document["kind"]: document for document in yaml.safe_load_all(text)}
    assert found["Gateway"]["spec"]["listeners"][0]["port"] == 1234
    assert found["Gateway"]["spec"]["gatewayClassName"] == found["GatewayClass"]["metadata"]["name"]
    assert f"--entryPoints.web.address={network.NODE_ADDRESS}:1234" in gateway.flags(ports)
    assert f"--entryPoints.metrics.address={network.NODE_ADDRESS}:1235" in gateway.flags(ports)


def test_the_service_inside_leads_to_both_ports() -> None:
    text = Template(gateway._MANIFEST.read_text()).substitute(address="198.18.0.1", port=1, metrics_port=2)
    found = {document["kind"]: document for document in yaml.safe_load_all(text)}
    assert {port["name"]: port["port"] for port in found["EndpointSlice"]["ports"]} == {"web": 1, "metrics": 2}
    assert {port["name"] for port in found["Service"]["spec"]["ports"]} == {"web", "metrics"}
    assert found["EndpointSlice"]["endpoints"][0]["addresses"] == ["198.18.0.1"]
