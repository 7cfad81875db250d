// Tests MCP clients that are just given a URL: they discover the issuer, register, use PKCE, request a token for
// the resource, call a tool, refresh the token, and request more scopes after a 403 (step-up).
//
// Each client is tested through every proxy of examples/proxies, in front of an MCP server that does not verify
// tokens, and with the server of examples/mcp, which verifies them. The issuer is a certified OpenID provider.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

import { browse } from './browse.js';
import { Application, Issuer, PROXIES, end, environment, freePort, home, start, startProxy } from './world.js';

const CALLBACK = 'http://127.0.0.1:1/callback';
const BROWSER = path.join(import.meta.dirname, 'browser');
const PATIENCE = 180_000;
const run = promisify(execFile);
const issuer = new Issuer();

/** The storage of a client of the npm SDK. Also records the authorizations that it requested. */
class Memory {
  asked = [];
  redirectUrl = CALLBACK;
  clientMetadata = {
    client_name: 'check', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  };
  /** Replaces the scope of the next authorization request. */
  instead = null;
  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.token; }
  saveTokens(token) { this.token = token; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  redirectToAuthorization(url) {
    if (this.instead) url.searchParams.set('scope', this.instead);
    this.instead = null;
    this.asked.push(url);
  }

  /** The scopes of the last authorization. */
  scopes() { return this.asked.at(-1).searchParams.get('scope'); }
}

async function until(condition) {
  for (const last = Date.now() + PATIENCE; !await condition();) {
    assert.ok(Date.now() < last, 'the condition did not become true in time');
    await new Promise((wake) => { setTimeout(wake, 50); });
  }
}

/** Connects. Returns `null` after an authorization, which the next call can use. */
async function connect(target, memory) {
  const client = new Client({ name: 'check', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(target.url), { authProvider: memory });
  try {
    await client.connect(transport);
    return { client, transport };
  } catch (error) {
    // the SDK throws this after a 401, and after a 403 that names a missing scope
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth((await browse(memory.asked.at(-1))).searchParams.get('code'));
    return null;
  }
}

async function text(client, name, args = {}) {
  return (await client.callTool({ name, arguments: args })).content[0].text;
}

/** Sends a request without the SDK. */
async function ask(target, method, fields = {}) {
  // rmcp parses the message before it looks up the session, so the message must be valid
  const body = method === 'POST' ? JSON.stringify({ jsonrpc: '2.0', id: 'ask', method: 'ping' }) : undefined;
  const accept = 'application/json, text/event-stream';
  const answer = await fetch(target.url, { method, body, headers: { accept, 'content-type': 'application/json', ...fields } });
  await answer.body?.cancel();
  return answer;
}

/** Tests every step with the npm SDK. */
async function sdk(target) {
  const memory = new Memory();
  const before = issuer.registrations;
  assert.equal(await connect(target, memory), null, 'the first call is rejected');
  assert.equal(issuer.registrations, before + 1, 'the client registers itself');
  const first = memory.asked[0].searchParams;
  assert.equal(first.get('resource'), target.url);
  assert.equal(first.get('code_challenge_method'), 'S256');
  // The challenge of the 401 names the scope of the policy; clients prefer it to the scopes of the metadata.
  assert.equal(memory.scopes(), target.scope);
  let connected = await connect(target, memory);
  assert.ok(connected, 'a token with the scope of the challenge is accepted');
  assert.equal(await text(connected.client, target.tool), target.answer);
  await streams(target, connected, memory);
  await connected.client.close();

  await refreshes(target, memory);
  await target.stepsUp(target, memory);
  assert.equal(issuer.registrations, before + 1, 'one registration is enough');
}

/** Opening the GET stream and ending the session need a token too. */
async function streams(target, { client, transport }, memory) {
  const session = { 'mcp-session-id': transport.sessionId };
  for (const method of ['GET', 'POST', 'DELETE']) {
    const answer = await ask(target, method, session);
    assert.equal(answer.status, 401, `${method} without a token`);
    assert.match(answer.headers.get('www-authenticate'), /resource_metadata=/);
  }
  if (target.sessions) {
    let news = 0;
    client.setNotificationHandler(LoggingMessageNotificationSchema, () => { news += 1; });
    await until(async () => { await text(client, 'announce'); return news > 0; });
    assert.ok(target.sessions.has(transport.sessionId), 'the session is still there');
  } else {
    const fields = { ...session, authorization: `Bearer ${memory.token.access_token}`, accept: 'text/event-stream' };
    const stream = await ask(target, 'GET', fields);
    assert.notEqual(stream.status, 401, 'a GET with a token');
  }
  await transport.terminateSession();
  const gone = await ask(target, 'POST', { ...session, authorization: `Bearer ${memory.token.access_token}` });
  assert.equal(gone.status, 404, 'a DELETE with a token ends the session');
}

/** The client replaces a rejected token without asking the user. */
async function refreshes(target, memory) {
  memory.token = undefined;
  issuer.lifetime = 1;
  assert.equal(await connect(target, memory), null);
  issuer.lifetime = 600;
  // The example has the library's default leeway, which is too long to wait for, so we make its token invalid.
  if (target.name === 'direct') memory.token = { ...memory.token, access_token: 'a.b.c' };
  const old = memory.token.access_token;
  await until(async () => (await ask(target, 'POST', { authorization: `Bearer ${old}` })).status === 401);
  const before = issuer.refreshes;
  const asked = memory.asked.length;
  const { client } = await connect(target, memory);
  assert.equal(await text(client, target.tool), target.answer);
  assert.equal(issuer.refreshes, before + 1, 'one refresh');
  assert.equal(memory.asked.length, asked, 'the user is not asked');
  await client.close();
}

/** A proxy has one policy: a token without its scope gets 403, and the client requests the scope in the challenge. */
async function stepsUpForAll(target, memory) {
  memory.token = undefined;
  memory.instead = 'use:mcp';
  assert.equal(await connect(target, memory), null);
  // If the SDK has a refresh token, it gets another token with the same scopes, and gives up (see docs/mcp.md).
  await assert.rejects(connect(target, memory), { code: 403 });
  memory.token = { ...memory.token, refresh_token: undefined };
  assert.equal(await connect(target, memory), null, 'the token without the scope gets 403');
  assert.equal(memory.scopes(), target.scope, 'step-up');
  const { client } = await connect(target, memory);
  assert.equal(await text(client, target.tool), target.answer);
  await client.close();
}

/** The example server has a policy for each tool: one tool needs another scope. */
async function stepsUpForOne(target, memory) {
  memory.token = { ...memory.token, refresh_token: undefined };
  const { client, transport } = await connect(target, memory);
  await assert.rejects(text(client, 'write_note', { text: 'milk' }), UnauthorizedError);
  // The challenge names both scopes, so that the new token can still read
  assert.equal(memory.scopes(), 'notes:read notes:write');
  await transport.finishAuth((await browse(memory.asked.at(-1))).searchParams.get('code'));
  assert.equal(await text(client, 'write_note', { text: 'milk' }), 'written');
  assert.match(await text(client, 'read_notes'), /milk/);
  await client.close();
}

/** The environment of clients that open a browser. Each has its own home, so that it finds no stored tokens. */
function homeOf(name, target) {
  const folder = path.join(home, `${name}-${target.name}`);
  mkdirSync(path.join(folder, 'bin'), { recursive: true });
  symlinkSync(BROWSER, path.join(folder, 'bin', 'xdg-open'));
  return { ...environment, HOME: folder, BROWSER, MCP_AUTO_OPEN_ENABLED: 'true', PATH: `${folder}/bin:${environment.PATH}` };
}

async function inspector(target) {
  const callback = `http://127.0.0.1:${await freePort()}/oauth/callback`;
  const { stdout } = await run('mcp-inspector', [
    '--cli', target.url, '--transport', 'http', '--callback-url', callback, '--format', 'json',
    '--method', 'tools/call', '--tool-name', target.tool,
  ], { env: homeOf('inspector', target), timeout: PATIENCE });
  assert.ok(stdout.includes(target.answer), stdout);
}

async function remote(target) {
  const args = [target.url, `${await freePort()}`, '--host', '127.0.0.1', '--transport', 'http-only'];
  const env = { ...homeOf('remote', target) };
  const transport = new StdioClientTransport({ command: 'mcp-remote', args, env, stderr: 'pipe' });
  let log = '';
  transport.stderr.on('data', (data) => { log += data; });
  const client = new Client({ name: 'check', version: '1' });
  try {
    await client.connect(transport, { timeout: PATIENCE });
    assert.ok((await text(client, target.tool)).startsWith(target.answer), 'the answer starts as expected; other clients may have written notes');
  } catch (error) {
    throw new Error(`mcp-remote:\n${log}`, { cause: error });
  }
  await client.close();
}

/** Runs a client of PyPI. Each call is a tool, its arguments, and the number of seconds to wait before it. */
async function python(client, target, calls) {
  const args = [path.join(import.meta.dirname, 'client.py'), client, target.url, JSON.stringify(calls), process.execPath, BROWSER];
  const { stdout } = await run(options.python, args, { env: homeOf(`${client}-${calls.length}`, target), timeout: PATIENCE });
  return JSON.parse(stdout);
}

async function fromPython(client, target) {
  const calls = [[target.tool, {}, 0], ...target.name === 'direct' ? [['write_note', { text: client }, 0], [target.tool, {}, 0]] : []];
  const { answers, asked } = await python(client, target, calls);
  // both clients also request offline_access, for a refresh token
  const scopes = asked.map((asked) => asked.filter((scope) => scope !== 'offline_access').sort());
  assert.equal(answers[0].split(':')[0], target.answer.split(':')[0]);
  if (client === 'mcp') assert.deepEqual(scopes[0], [target.scope]);
  if (target.name === 'direct') {
    assert.equal(answers[1], 'written');
    assert.ok(answers[2].includes(client), answers[2]);
    // The PyPI SDK requests the union of both scopes, as the specification of 2026-07-28 says.
    if (client === 'mcp') assert.deepEqual(scopes[1], ['notes:read', 'notes:write']);
  }
}

async function refreshesFromPython(target) {
  const before = issuer.refreshes;
  issuer.lifetime = 2;
  const { answers, asked } = await python('mcp', target, [[target.tool, {}, 0], [target.tool, {}, 2.5]]);
  issuer.lifetime = 600;
  assert.equal(answers.length, 2);
  assert.equal(asked.length, 1, 'the user is asked only once');
  assert.ok(issuer.refreshes > before, 'a refresh');
}

const CLIENTS = {
  'npm SDK': sdk,
  inspector,
  'mcp-remote': remote,
  'PyPI mcp': (target) => fromPython('mcp', target),
  fastmcp: (target) => fromPython('fastmcp', target),
};

/** Starts an application, the service, and a proxy in front of both. */
async function behind(name) {
  const application = new Application();
  const ports = { 8000: await freePort(), 8080: await freePort(), 9000: await application.start() };
  const url = `http://127.0.0.1:${ports[8080]}/mcp`;
  issuer.resources.add(url);
  await start(ports[8000], path.resolve(options.service), ['serve'], {
    LISTEN: `127.0.0.1:${ports[8000]}`, AUTH0_ISSUER: issuer.url, AUTH0_API_AUDIENCE: url, AUTH0_LEEWAY: '0s',
    AUTH0_RESOURCE: url, AUTH0_RESOURCE_SCOPES: 'read:messages use:mcp',
  });
  await startProxy(name, ports);
  const { sessions } = application;
  return { name, url, sessions, scope: 'read:messages', tool: 'whoami', answer: 'ann read:messages', stepsUp: stepsUpForAll };
}

/** Starts the server of examples/mcp, without a proxy. */
async function direct() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/mcp`;
  issuer.resources.add(url);
  await start(port, path.resolve(options.example), [], { ISSUER: issuer.url, RESOURCE: url, LISTEN: `127.0.0.1:${port}` });
  return { name: 'direct', url, scope: 'notes:read', tool: 'read_notes', answer: 'ann reads: ', stepsUp: stepsUpForOne };
}

const { values: options } = parseArgs({
  options: { service: { type: 'string' }, example: { type: 'string' }, python: { type: 'string' }, only: { type: 'string' } },
});
let failed = 0;
try {
  await issuer.start();
  for (const name of [...Object.keys(PROXIES), 'direct']) {
    if (options.only && options.only !== name) continue;
    const target = await (name === 'direct' ? direct() : behind(name));
    const clients = { ...CLIENTS, ...name === 'direct' ? { 'PyPI mcp, a refresh': refreshesFromPython } : {} };
    for (const [client, check] of Object.entries(clients)) {
      try {
        await check(target);
        console.log(`ok     ${name}: ${client}`);
      } catch (error) {
        failed += 1;
        console.log(`FAILED ${name}: ${client}`, error);
      }
    }
  }
} catch (error) {
  failed += 1;
  console.error(error);
}
await end();
process.exit(failed ? 1 : 0);
