// Fastify with its JWT plugin, whose verifier can cache the tokens that it has verified.
import { readFileSync } from 'node:fs';

import jwt from '@fastify/jwt';
import fastify from 'fastify';

const { PORT, ISSUER, AUDIENCE, PUBLIC_KEY, CACHE } = process.env;
const app = fastify();

await app.register(jwt, {
  secret: { public: readFileSync(PUBLIC_KEY, 'utf8') },
  verify: {
    algorithms: ['RS256'],
    allowedIss: ISSUER,
    allowedAud: AUDIENCE,
    cache: CACHE ? 20_000 : false,
  },
});

app.get('/api/public', async () => ({
  status: 'success',
  msg: "Hello from a public endpoint! You don't need to be authenticated to see this.",
}));

app.get(
  '/api/private',
  { onRequest: (request) => request.jwtVerify() },
  async (request) => request.user,
);

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
