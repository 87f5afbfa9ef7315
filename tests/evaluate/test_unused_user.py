"""Root becomes a user that nobody is, another one for each sandbox."""

import pwd

import pytest

from valley.evaluate.unused_user import FIRST, LAST, UnusedUser, others_exist


@pytest.mark.skipif(not others_exist(), reason="there are no other users here")
def test_each_is_another_and_nobodys():
    users = [UnusedUser() for _ in range(20)]
    try:
        ids = {user.uid for user in users}
        assert len(ids) == 20
        assert all(FIRST <= uid <= LAST for uid in ids)
        assert not ids & {entry.pw_uid for entry in pwd.getpwall()}
    finally:
        for user in users:
            user.close()
