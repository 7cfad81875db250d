// The environment of the clients under test: an OpenID provider, an MCP server that does not verify tokens, the service, and
// the proxies of examples/proxies, with only their ports changed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import Provider from 'oidc-provider';

const EXAMPLES = path.resolve(import.meta.dirname, '../../examples/proxies');
const PATIENCE = 20_000;

/** The prefix of each proxy's files, and the command that starts it in a directory with them. */
export const PROXIES = {
  nginx: { files: 'nginx.', start: ['nginx', '-p', '.', '-c', 'nginx.conf', '-g', 'daemon off; pid nginx.pid;'] },
  caddy: { files: 'Caddyfile', start: ['caddy', 'run', '--config', 'Caddyfile', '--adapter', 'caddyfile'] },
  haproxy: { files: 'haproxy.', start: ['haproxy', '-db', '-f', 'haproxy.cfg'] },
  envoy: { files: 'envoy.', start: ['envoy', '-c', 'envoy.yaml', '--use-dynamic-base-id', '--log-level', 'warn'] },
};

export const home = mkdtempSync(path.join(tmpdir(), 'mcp-'));
const children = [];

/** The environment of every program. */
export const environment = {
  PATH: `${process.env.PATH}:/usr/sbin`, HOME: home, TMPDIR: home, NO_PROXY: '127.0.0.1,localhost',
};

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function serving(handler, port = 0) {
  const server = createServer(handler).listen(port, '127.0.0.1');
  // Never closes idle connections, so that the proxy closes them. Otherwise a POST could be sent on a connection that
  // is being closed.
  server.keepAliveTimeout = 0;
  await once(server, 'listening');
  return server.address().port;
}

/** Starts a program and waits until it accepts connections. */
export async function start(port, command, args, env, cwd = home) {
  const child = spawn(command, args, { cwd, env: { ...environment, ...env } });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { log += data; });
  child.on('error', (error) => { log += error; });
  children.push(child);
  const end = Date.now() + PATIENCE;
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.destroy();
      return;
    } catch {
      assert.ok(child.exitCode === null && Date.now() < end, `${command} does not listen:\n${log}`);
      await new Promise((wake) => { setTimeout(wake, 20); });
    }
  }
}

/** Ends all programs that were started. */
export async function end() {
  const ends = children.filter((child) => child.exitCode === null && child.pid).map((child) => once(child, 'exit'));
  for (const child of children) child.kill();
  await Promise.all(ends);
  rmSync(home, { recursive: true, force: true });
}

/** Starts a proxy with its configuration of examples/proxies, with other ports. */
export async function startProxy(name, ports) {
  const { files, start: [command, ...args] } = PROXIES[name];
  const directory = path.join(home, `${name}-${ports[8080]}`);
  mkdirSync(directory);
  for (const file of readdirSync(EXAMPLES).filter((file) => file.startsWith(files))) {
    let text = readFileSync(path.join(EXAMPLES, file), 'utf8');
    for (const [shipped, port] of Object.entries(ports)) {
      text = text.replaceAll(new RegExp(`(127\\.0\\.0\\.1:|port_value: |http://:)${shipped}\\b`, 'g'), `$1${port}`);
    }
    writeFileSync(path.join(directory, file), text);
  }
  await start(ports[8080], command, args, {}, directory);
}

/** The OpenID provider, with registration, PKCE, resource indicators, refresh tokens, and a user who consents to everything. */
export class Issuer {
  /** The lifetime of access tokens, in seconds. */
  lifetime = 600;
  scopes = ['use:mcp', 'read:messages', 'notes:read', 'notes:write'];
  /** The resources for which the provider issues tokens. A client must name one. */
  resources = new Set();
  refreshes = 0;
  registrations = 0;

  async start() {
    const port = await freePort();
    this.url = `http://127.0.0.1:${port}`;
    const server = (resource) => ({
      scope: this.scopes.join(' '), audience: resource, accessTokenFormat: 'jwt',
      accessTokenTTL: this.lifetime, jwt: { sign: { alg: 'RS256' } },
    });
    this.oidc = new Provider(this.url, {
      clientDefaults: { id_token_signed_response_alg: 'RS256' },
      pkce: { required: () => true },
      scopes: ['openid', 'offline_access', ...this.scopes],
      issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
      features: {
        devInteractions: { enabled: false },
        registration: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_, resource) => {
            assert.ok(this.resources.has(resource), `the client names the resource: ${resource}`);
            return server(resource);
          },
        },
      },
      findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
      interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    });
    this.oidc.on('refresh_token.consumed', () => { this.refreshes += 1; });
    this.oidc.on('registration_create.success', () => { this.registrations += 1; });
    const answer = this.oidc.callback();
    await serving(async (request, response) => {
      if (request.method === 'POST' && request.url === '/reg') {
        // Some clients register with only the scope of the first challenge. Most issuers don't limit them to it, so neither
        // does this one.
        let text = '';
        for await (const chunk of request) text += chunk;
        request.body = { ...JSON.parse(text), scope: undefined };
      }
      return request.url.startsWith('/interaction/') ? this.agree(request, response) : answer(request, response);
    }, port);
  }

  async agree(request, response) {
    const { prompt, params, session } = await this.oidc.interactionDetails(request, response);
    if (prompt.name === 'login') {
      return this.oidc.interactionFinished(request, response, { login: { accountId: 'ann' } });
    }
    const grant = new this.oidc.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope ?? '');
    for (const resource of this.resources) grant.addResourceScope(resource, params.scope ?? '');
    return this.oidc.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
  }
}

/** The MCP server behind a proxy. It does not verify tokens; it reads the caller from the proxy's fields. */
export class Application {
  sessions = new Map();

  async start() {
    return serving((request, response) => this.answer(request, response));
  }

  async answer(request, response) {
    assert.equal(request.headers.authorization, undefined, 'the proxy does not forward the token');
    const known = this.sessions.get(request.headers['mcp-session-id']);
    if (!known && request.headers['mcp-session-id']) return response.writeHead(404).end();
    const transport = known ?? await this.session();
    return transport.handleRequest(request, response);
  }

  async session() {
    const server = new McpServer({ name: 'notes', version: '1' }, { capabilities: { logging: {} } });
    const text = (text) => ({ content: [{ type: 'text', text }] });
    server.tool('whoami', ({ requestInfo: { headers } }) => text(`${headers['x-auth-subject']} ${headers['x-auth-scope']}`));
    // A message that does not answer a call is sent on the stream that a GET opened
    server.tool('announce', async () => {
      await server.server.sendLoggingMessage({ level: 'info', data: 'news' });
      return text('announced');
    });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => { this.sessions.set(id, transport); },
      onsessionclosed: (id) => { this.sessions.delete(id); },
    });
    await server.connect(transport);
    return transport;
  }
}
