"""Tests as users of FastAPI write them; docs/from-fastapi.md shows them."""

from fastapi.testclient import TestClient

from main import app, auth


def test_private_without_a_token():
    assert TestClient(app).get("/api/private").status_code == 401


def test_private_with_a_token_that_nobody_verified():
    app.dependency_overrides[auth.verify] = lambda: {"sub": "auth0|alice"}
    try:
        answer = TestClient(app).get("/api/private")
    finally:
        app.dependency_overrides.clear()
    assert answer.json() == {"sub": "auth0|alice"}
