// Express with Auth0's own SDK, as in its quickstart.
import express from 'express';
import { auth } from 'express-oauth2-jwt-bearer';

const { PORT, ISSUER, AUDIENCE, JWKS_URI, JWKS_TTL } = process.env;
const app = express();
const verified = auth({
  issuer: ISSUER,
  jwksUri: JWKS_URI,
  audience: AUDIENCE,
  tokenSigningAlg: 'RS256',
  ...(JWKS_TTL && { cacheMaxAge: JWKS_TTL * 1000 }),
});

app.get('/api/public', (request, response) => {
  response.json({
    status: 'success',
    msg: "Hello from a public endpoint! You don't need to be authenticated to see this.",
  });
});

app.get('/api/private', verified, (request, response) => {
  response.json(request.auth.payload);
});

app.use((error, request, response, next) => {
  response.set(error.headers).status(error.status ?? 500).json({ message: error.message });
});

app.listen(PORT, '127.0.0.1');
