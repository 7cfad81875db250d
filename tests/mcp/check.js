// An MCP client that knows nothing but a URL, through nginx as shipped: it discovers the issuer, registers,
// proves possession of the code (PKCE), asks for a token for this resource, calls, and steps up after a 403.
//
// The client and the MCP server are those of the npm SDK, the issuer is a certified OpenID provider. nginx and
// the service run with examples/proxies/nginx.conf and four variables. The server verifies no token.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import Provider from 'oidc-provider';

const ROOT = path.resolve(import.meta.dirname, '../..');
const CALLBACK = 'http://127.0.0.1:1/callback';
const directory = mkdtempSync(path.join(tmpdir(), 'mcp-'));
const children = [];

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function serving(handler, port = 0) {
  const server = createServer(handler).listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

/** Starts a program and waits until it accepts connections. */
async function start(port, command, args, env) {
  const child = spawn(command, args, { cwd: directory, env: { PATH: `${process.env.PATH}:/usr/sbin`, HOME: directory, ...env } });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { log += data; });
  children.push(child);
  const patience = Date.now() + 20_000;
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return () => log;
    } catch {
      assert.ok(child.exitCode === null && Date.now() < patience, `${command} does not listen:\n${log}`);
    }
  }
}

/** The provider: registration, PKCE, resource indicators, and a user who agrees to everything. */
function provider(issuer, resource) {
  const oidc = new Provider(issuer, {
    clientDefaults: { id_token_signed_response_alg: 'RS256' },
    pkce: { required: () => true },
    scopes: ['openid', 'offline_access', 'use:mcp', 'read:messages'],
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, asked) => {
          assert.equal(asked, resource, 'the client names the resource');
          return { scope: 'use:mcp read:messages', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } } };
        },
      },
    },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  });
  const answer = oidc.callback();
  return async (request, response) => {
    if (request.method === 'POST' && request.url === '/reg') {
      // The SDK registers for the scope of the first challenge alone. Most issuers do not hold it to that.
      let text = '';
      for await (const chunk of request) text += chunk;
      request.body = { ...JSON.parse(text), scope: undefined };
    }
    if (!request.url.startsWith('/interaction/')) return answer(request, response);
    const { prompt, params, session } = await oidc.interactionDetails(request, response);
    if (prompt.name === 'login') {
      return oidc.interactionFinished(request, response, { login: { accountId: 'ann' } });
    }
    const grant = new oidc.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope ?? '');
    grant.addResourceScope(resource, params.scope ?? '');
    return oidc.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  };
}

/** The MCP server. It verifies no token, and says whose call it is by the fields of the proxy. */
async function application(request, response) {
  const server = new McpServer({ name: 'notes', version: '1' });
  server.tool('whoami', () => ({ content: [{ type: 'text', text: `${request.headers['x-auth-subject']} ${request.headers['x-auth-scope']}` }] }));
  assert.equal(request.headers.authorization, undefined, 'the token stays at the proxy');
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  await server.connect(transport);
  await transport.handleRequest(request, response);
}

/** Follows the redirects of an authorization as a browser would. Returns the code. */
async function code(url) {
  const jar = new Map();
  for (let next = url; ; ) {
    if (next.href.startsWith(CALLBACK)) {
      assert.equal(next.searchParams.get('error'), null, next.href);
      return next.searchParams.get('code');
    }
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    assert.ok([302, 303].includes(answer.status), `${next}: ${answer.status} ${await answer.text()}`);
    next = new URL(answer.headers.get('location'), next);
  }
}

/** What a client remembers, and what it did. */
class Memory {
  asked = [];
  registrations = 0;
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: 'check', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'], response_types: ['code'],
  };
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; this.registrations += 1; }
  tokens() { return this.token; }
  saveTokens(token) { this.token = token; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  redirectToAuthorization(url) { this.asked.push(url); }
}

async function main(binary) {
  const ports = { 8000: await freePort(), 8080: await freePort(), 9000: await serving(application) };
  const resource = `http://127.0.0.1:${ports[8080]}/mcp`;
  const issuerPort = await freePort();
  const issuer = `http://127.0.0.1:${issuerPort}`;
  await serving(provider(issuer, resource), issuerPort);
  await start(ports[8000], binary, ['serve'], {
    LISTEN: `127.0.0.1:${ports[8000]}`, AUTH0_ISSUER: issuer, AUTH0_API_AUDIENCE: resource,
    AUTH0_RESOURCE: resource, AUTH0_RESOURCE_SCOPES: 'use:mcp',
  });
  let configuration = readFileSync(path.join(ROOT, 'examples/proxies/nginx.conf'), 'utf8');
  for (const [shipped, port] of Object.entries(ports)) configuration = configuration.replaceAll(`127.0.0.1:${shipped}`, `127.0.0.1:${port}`);
  writeFileSync(path.join(directory, 'nginx.conf'), configuration);
  await start(ports[8080], 'nginx', ['-p', '.', '-c', 'nginx.conf', '-g', 'daemon off; pid nginx.pid;'], {});

  const memory = new Memory();
  const connect = async () => {
    const client = new Client({ name: 'check', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(resource), { authProvider: memory });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      // At a 401, and at a 403 that a larger scope would turn into a success.
      if (!(error instanceof UnauthorizedError)) throw error;
      await transport.finishAuth(await code(memory.asked.at(-1)));
      return null;
    }
  };

  assert.equal(await connect(), null, 'the first call is refused');
  const first = memory.asked[0].searchParams;
  assert.equal(memory.registrations, 1, 'the client registers itself');
  assert.equal(first.get('resource'), resource);
  assert.equal(first.get('code_challenge_method'), 'S256');
  // The challenge of the 401 names the scope of the policy, and it comes before the one in the metadata.
  assert.equal(first.get('scope'), 'read:messages');
  let client = await connect();
  assert.ok(client, 'a token with the scope of the challenge passes');
  const call = await client.callTool({ name: 'whoami' });
  assert.equal(call.content[0].text, 'ann read:messages');
  await client.close();

  // A token with less than the policy: 403, and the client asks for what the challenge names.
  memory.token = undefined;
  memory.redirectToAuthorization = (url) => { url.searchParams.set('scope', memory.asked.length === 1 ? 'use:mcp' : url.searchParams.get('scope')); memory.asked.push(url); };
  assert.equal(await connect(), null);
  assert.equal(await connect(), null, 'the small token is refused with 403');
  assert.equal(memory.asked.at(-1).searchParams.get('scope'), 'read:messages', 'step-up');
  client = await connect();
  assert.ok(client, 'the larger token passes');
  assert.equal((await client.callTool({ name: 'whoami' })).content[0].text, 'ann read:messages');
  await client.close();
  assert.equal(memory.registrations, 1, 'one registration is enough');
  console.log('discovery, registration, PKCE, resource, call and step-up pass through nginx as shipped');
}

let failed = 0;
try {
  await main(path.resolve(process.argv[2]));
} catch (error) {
  console.error(error);
  failed = 1;
}
for (const child of children) child.kill();
process.exit(failed);
