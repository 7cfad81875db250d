"""A server modelled on Auth0's FastAPI tutorial. docs/from-fastapi.md compares it with the library."""

import jwt
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    auth0_domain: str
    auth0_api_audience: str
    auth0_issuer: str
    auth0_algorithms: str


class Verifier:
    def __init__(self, settings: Settings):
        self.settings = settings
        self.keys = jwt.PyJWKClient(f"{settings.auth0_issuer}.well-known/jwks.json")

    async def verify(
        self,
        required: SecurityScopes,
        bearer: HTTPAuthorizationCredentials = Depends(HTTPBearer()),
    ) -> dict:
        token = bearer.credentials
        try:
            claims = jwt.decode(
                token,
                self.keys.get_signing_key_from_jwt(token).key,
                algorithms=[self.settings.auth0_algorithms],
                audience=self.settings.auth0_api_audience,
                issuer=self.settings.auth0_issuer,
            )
        except jwt.PyJWTError as error:
            raise HTTPException(status_code=403, detail=str(error)) from error
        granted = claims.get("scope", "").split()
        for scope in required.scopes:
            if scope not in granted:
                raise HTTPException(status_code=403, detail=f"Missing scope {scope}")
        return claims


app = FastAPI()
auth = Verifier(Settings())


@app.get("/api/public")
def public():
    return {"status": "success", "msg": "open to all"}


@app.get("/api/private")
def private(claims: dict = Security(auth.verify)):
    return claims


@app.get("/api/private-scoped")
def private_scoped(claims: dict = Security(auth.verify, scopes=["read:messages"])):
    return {"status": "success", "msg": f"read by {claims['sub']}"}
