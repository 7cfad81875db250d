// Runs a certified OpenID provider on a free port of loopback, with new keys. Prints one line of JSON with the
// issuer's URL and the credentials of its clients. Then it reads commands from standard input, one a line, and
// prints one line of JSON for each, with the number of requests for the key set so far: `rotate` puts a new key
// of each type before the existing ones, `count` does nothing, `stop` closes the port, `start` opens it again,
// `user <resource>` creates a token of a user, and `logout <url>` sends a back-channel logout token to the URL.

import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

const AUDIENCE = 'https://api.example.com';
const USER = 'alice';
const machine = {
  client_id: randomUUID(),
  client_secret: randomBytes(32).toString('hex'),
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};
// A client whose tokens are bound to the certificate that it presents.
const certified = {
  ...machine,
  client_id: randomUUID(),
  tls_client_certificate_bound_access_tokens: true,
};
// The application that the user logs in to.
const application = {
  client_id: randomUUID(),
  client_secret: randomBytes(32).toString('hex'),
  grant_types: ['authorization_code'],
  redirect_uris: ['https://app.example.com/callback'],
  response_types: ['code'],
};

async function key(alg, options) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true, ...options });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), use: 'sig' };
}

// The keys have no `alg`: the RSA key signs with both RS256 and PS256.
const keys = async () => [await key('RS256'), await key('ES256'), await key('EdDSA', { crv: 'Ed25519' })];

// There is a resource for each algorithm (`https://api.example.com/RS256` and so on) and one for opaque tokens. All
// have the same audience.
function resource(indicator) {
  const kind = indicator.split('/').pop();
  const token = kind === 'opaque'
    ? { accessTokenFormat: 'opaque' }
    : { accessTokenFormat: 'jwt', jwt: { sign: { alg: kind } } };
  return { scope: 'read:messages', audience: AUDIENCE, accessTokenTTL: 600, ...token };
}

const configuration = (jwks, logoutUri) => ({
  clients: [
    machine,
    certified,
    { ...application, ...(logoutUri && { backchannel_logout_uri: logoutUri }) },
  ],
  jwks: { keys: jwks },
  // By default, oidc-provider sends no requests to loopback, where the service listens
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  features: {
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      // nginx passes the certificate on in this field.
      getCertificate: (ctx) => decodeURIComponent(ctx.get('x-ssl-client-cert')) || undefined,
    },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, indicator) => resource(indicator),
    },
    revocation: { enabled: true },
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
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;

let jwks = [];
let provider;
function configure(logoutUri) {
  provider = new Provider(issuer, configuration(jwks, logoutUri));
  answer = provider.callback();
}

const commands = {
  async rotate() {
    jwks = [...(await keys()), ...jwks];
    configure();
  },
  count() {},
  async stop() {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  },
  async start() {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  },
  // creates what a login with consent would create
  async user(indicator) {
    const client = await provider.Client.find(application.client_id);
    const grant = new provider.Grant({ accountId: USER, clientId: client.clientId });
    grant.addResourceScope(indicator, 'read:messages');
    const grantId = await grant.save();
    const token = new provider.AccessToken({
      accountId: USER, client, grantId, gty: 'authorization_code', scope: 'read:messages',
    });
    token.resourceServer = new provider.ResourceServer(indicator, resource(indicator));
    return { token: await token.save() };
  },
  async logout(uri) {
    configure(uri);
    const client = await provider.Client.find(application.client_id);
    await client.backchannelLogout(USER);
  },
};

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
await commands.rotate();
say({
  issuer,
  audience: AUDIENCE,
  ...machine,
  certified: certified.client_id,
  application: application.client_id,
});
for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = line.split(' ');
  const said = await commands[name](argument);
  say({ asked, ...said });
}
process.exit(0);
