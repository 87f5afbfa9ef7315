from __future__ import annotations

import os

from valley.claim import Claim, holder_of


def test_of_two_only_one_has_it(spaced):
    first, second = Claim(spaced / "claim"), Claim(spaced / "claim")
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    assert [path.name for path in spaced.iterdir()] == ["claim"]


def test_a_link_whose_answer_was_lost_is_held(spaced, monkeypatch):
    """As over NFS, where the same link is asked for again and is there already."""
    made = os.link

    def link(source, target):
        made(source, target)
        raise FileExistsError(target)

    claim = Claim(spaced / "claim")
    monkeypatch.setattr("os.link", link)
    assert claim.take()
    assert holder_of(claim.path) == claim.holder
    assert [path.name for path in spaced.iterdir()] == ["claim"]
