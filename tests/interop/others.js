// Runs two different issuers on free ports of loopback: npm's oauth2-mock-server, which signs with RS256, and
// better-auth, which signs with EdDSA and has no discovery document. Prints one line of JSON with each issuer's
// URL, the URL of its keys if it has no discovery document, and a token.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { OAuth2Server } from 'oauth2-mock-server';

const audience = 'https://api.example.com';

async function mock() {
  const server = new OAuth2Server();
  await server.issuer.keys.generate('RS256');
  await server.start(0, 'localhost');
  const scopesOrTransform = (_, payload) => {
    Object.assign(payload, { aud: audience, sub: 'mock', scope: 'read:messages' });
  };
  const token = await server.issuer.buildToken({ scopesOrTransform });
  return { issuer: server.issuer.url, token };
}

async function better() {
  let answer;
  const server = createServer((request, response) => answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const auth = betterAuth({
    baseURL: issuer,
    secret: randomBytes(32).toString('hex'),
    database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
    emailAndPassword: { enabled: true },
    plugins: [jwt({ jwt: { issuer, audience } })],
    logger: { disabled: true },
    telemetry: { enabled: false },
  });
  answer = toNodeHandler(auth);
  const user = { email: 'alice@example.com', password: randomBytes(16).toString('hex'), name: 'Alice' };
  const headers = { 'content-type': 'application/json', origin: issuer };
  const body = JSON.stringify(user);
  const signed = await fetch(`${issuer}/api/auth/sign-up/email`, { method: 'POST', headers, body });
  const cookie = signed.headers.getSetCookie().map((field) => field.split(';')[0]).join('; ');
  const { token } = await (await fetch(`${issuer}/api/auth/token`, { headers: { cookie } })).json();
  return { issuer, jwks_uri: `${issuer}/api/auth/jwks`, token };
}

console.log(JSON.stringify({ audience, mock: await mock(), better: await better() }));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
