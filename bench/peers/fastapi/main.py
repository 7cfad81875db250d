"""Auth0's FastAPI tutorial in one file: PyJWT verifies, its client fetches and keeps the keys."""

import os

import jwt
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ["AUDIENCE"]

app = FastAPI()
keys = jwt.PyJWKClient(
    os.environ["JWKS_URI"], lifespan=float(os.environ.get("JWKS_TTL", "300"))
)


async def verified(
    credentials: HTTPAuthorizationCredentials | None = Depends(HTTPBearer()),
):
    if credentials is None:
        raise HTTPException(status_code=401)
    token = credentials.credentials
    try:
        key = keys.get_signing_key_from_jwt(token).key
        return jwt.decode(
            token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER
        )
    except (jwt.exceptions.PyJWKClientError, jwt.exceptions.PyJWTError) as error:
        raise HTTPException(status_code=403, detail=str(error)) from error


@app.get("/api/public")
def public():
    return {
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }


@app.get("/api/private")
def private(claims=Security(verified)):
    return claims
