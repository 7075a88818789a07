"""Who may ask a server: keys, an admin's keys, how often; and what a request cannot do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import serving
import tiny_bundle

from trimtab import TrimtabError
from trimtab.serve import keys, rates
from trimtab.serve.rates import Rates

ROW = {"review": "warm and funny"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("served"))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_file_of_keys_holds_no_key_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    key = keys.made(file, "mobile")
    assert key not in file.read_text()
    assert re.fullmatch(r"mobile sha256:[0-9a-f]{64}\n", file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600


def test_only_who_has_a_key_is_answered_and_one_that_is_revoked_ends_at_once(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LOOKED_AT", 0.0)
    file = tmp_path / "keys.txt"
    first, second = keys.made(file, "first"), keys.made(file, "second")
    with serving.client(bundle, keys=str(file)) as client:
        refused = client.post("/predict", json=ROW)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert client.post("/predict", json=ROW, headers=bearer(first + "x")).status_code == 401
        assert client.post("/predict", json=ROW, headers=bearer(first)).status_code == 200
        assert client.post("/predict", json=ROW, headers={"x-api-key": second}).status_code == 200
        assert client.get("/healthz").status_code == 200
        keys.revoked(file, "first")
        assert client.post("/predict", json=ROW, headers=bearer(first)).status_code == 401
        assert client.post("/predict", json=ROW, headers=bearer(second)).status_code == 200
        file.unlink()
        assert client.post("/predict", json=ROW, headers=bearer(second)).status_code == 401


def test_what_an_admin_does_needs_an_admins_key_and_is_off_without_any(bundle: Path, tmp_path: Path) -> None:
    user, admin = keys.made(tmp_path / "keys.txt", "user"), keys.made(tmp_path / "admin.txt", "me")
    with serving.client(bundle) as client:
        assert client.post("/admin/reload").status_code == 403
    files = {"keys": str(tmp_path / "keys.txt"), "admin_keys": str(tmp_path / "admin.txt")}
    with serving.client(bundle, **files) as client:
        assert client.post("/admin/reload", headers=bearer(user)).status_code == 401
        assert client.post("/admin/reload", headers=bearer(admin)).status_code == 200
        assert client.post("/predict", json=ROW, headers=bearer(admin)).status_code == 200


def test_a_reload_that_fails_is_told_and_the_old_bundle_goes_on(bundle: Path, tmp_path: Path) -> None:
    admin = bearer(keys.made(tmp_path / "admin.txt", "me"))
    with serving.client(bundle, admin_keys=str(tmp_path / "admin.txt")) as client:
        for body in (b"[]", b'{"bundle": 5}', b'{"folder": "x"}'):
            assert client.post("/admin/reload", content=body, headers=admin).status_code == 422
        failed = client.post("/admin/reload", json={"bundle": str(tmp_path)}, headers=admin)
        assert failed.status_code == 409
        assert "the old bundle goes on answering" in failed.json()["error"]["message"]
        assert client.post("/predict", json=ROW).status_code == 200


@pytest.mark.parametrize("text", ["mobile", "mobile md5:abc", "a b c", "mobile sha256:" + "g" * 64])
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# a comment\n\n{text}\n")
    with pytest.raises(TrimtabError, match="line 3"):
        keys.read(file)


def test_a_name_is_used_once_and_what_is_not_there_cannot_be_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    keys.made(file, "mobile")
    with pytest.raises(TrimtabError, match="already"):
        keys.made(file, "mobile")
    with pytest.raises(TrimtabError, match="letters"):
        keys.made(file, "two words")
    with pytest.raises(TrimtabError, match="no key named"):
        keys.revoked(file, "other")


def test_whoever_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up(
    bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.txt"
    often, seldom = bearer(keys.made(file, "often")), bearer(keys.made(file, "seldom"))
    with serving.client(bundle, keys=str(file), rate=0.01, rates=rates.shared()) as client:
        assert client.post("/predict", json=ROW, headers=often).status_code == 200
        refused = client.post("/predict", json=ROW, headers=often)
        assert (refused.status_code, 90 <= int(refused.headers["retry-after"]) <= 100) == (429, True)
        assert client.post("/predict", json=ROW, headers=seldom).status_code == 200
        assert client.get("/healthz", headers=often).status_code == 200


def test_workers_count_together(tmp_path: Path) -> None:
    descriptor = rates.shared()
    workers = [Rates(1.0, descriptor), Rates(1.0, descriptor)]
    waits = [workers[turn % 2].wait("a") for turn in range(4)]
    assert waits[:2] == [0.0, 0.0]
    assert all(wait > 0.5 for wait in waits[2:])
