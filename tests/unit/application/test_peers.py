"""Certificates to principals."""

import pytest
from protojobs_service.application import PeerRule, Peers
from protojobs_service.domain.access import Grant, Scope

SHOP = PeerRule(uri="spiffe://test/ns/shop/*", name="shop", grants=(Grant(Scope.WORKER, "shop-*"),))
ANY = PeerRule(uri="spiffe://test/*", grants=(Grant(Scope.OBSERVER),))
HOST = PeerRule(host="*.example.test", grants=(Grant(Scope.PRODUCER),))
PEERS = Peers([SHOP, ANY, HOST])


@pytest.mark.parametrize(
    ("uris", "hosts", "found"),
    [
        (["spiffe://test/ns/shop/mailer"], [], ("mtls:spiffe://test/ns/shop/mailer", "shop", SHOP)),
        (["spiffe://test/ns/other"], [], ("mtls:spiffe://test/ns/other", "spiffe://test/ns/other", ANY)),
        ([], ["a.example.test"], ("mtls:a.example.test", "a.example.test", HOST)),
        ([], ["x", "b.example.test"], ("mtls:b.example.test", "b.example.test", HOST)),
        (["https://x", "spiffe://test/y"], [], ("mtls:spiffe://test/y", "spiffe://test/y", ANY)),
    ],
)
def test_the_first_rule_that_fits_says_who_it_is(uris: list[str], hosts: list[str], found: tuple[str, str, PeerRule]) -> None:
    principal = PEERS.find(uris, hosts)

    assert principal is not None
    assert (principal.id, principal.name, principal.grants) == (found[0], found[1], found[2].grants)
    assert principal.expires_at is None


@pytest.mark.parametrize(
    ("uris", "hosts"),
    [
        ([], []),
        (["spiffe://test.evil/ns/shop/mailer"], []),
        (["SPIFFE://TEST/ns/shop/mailer"], []),
        (["https://unknown"], ["a.example.test"]),
        ([], ["spiffe://test/ns/shop/mailer"]),
        ([], ["example.test"]),
    ],
    ids=["none", "another trust domain", "another case", "a host beside a uri", "a uri as a host", "another host"],
)
def test_a_certificate_that_no_rule_fits_is_nobodys(uris: list[str], hosts: list[str]) -> None:
    assert PEERS.find(uris, hosts) is None
