// A certified OpenID provider on a free port of loopback, with keys of its own making. It says on
// the first line where it is and who may ask it for tokens; then it does what each line it is told
// says, and answers with a line: `rotate` puts a new key of every kind before the ones so far,
// `count` tells how often the key set was asked for.

import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const AUDIENCE = 'https://api.example.com';
const client = {
  client_id: randomUUID(),
  client_secret: randomBytes(32).toString('hex'),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};

async function key(alg, options) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, ...options });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), use: 'sig' };
}

// The RSA key signs RS256 and PS256 alike, and so names no algorithm.
const keys = async () => [await key('RS256'), await key('ES256'), await key('EdDSA', { crv: 'Ed25519' })];

// One resource for each algorithm, `https://api.example.com/RS256` and so on; all are one audience.
const configuration = (jwks) => ({
  clients: [client],
  jwks: { keys: jwks },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: 'read:messages',
        audience: AUDIENCE,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: resource.split('/').pop() } },
      }),
    },
  },
});

let asked = 0;
let answer;
const server = createServer((request, response) => {
  if (request.url === '/jwks') asked += 1;
  answer(request, response);
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

let jwks = [];
async function rotate() {
  jwks = [...(await keys()), ...jwks];
  answer = new Provider(issuer, configuration(jwks)).callback();
}

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
await rotate();
say({ issuer, audience: AUDIENCE, ...client });
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'rotate') await rotate();
  say({ asked });
}
process.exit(0);
