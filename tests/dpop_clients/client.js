// Tests the service with npm's `dpop` and `oauth4webapi` as clients. Arguments: the URL of `dev --dpop`, and
// the URL of a second service with the same issuer, which requires nonces.
import assert from 'node:assert/strict'
import * as dpop from 'dpop'
import * as oauth from 'oauth4webapi'

const [service, withNonces] = process.argv.slice(2)
const ready = await (await fetch(`${service}/readyz`)).json()
const issuer = new URL(ready.issuers[0].issuer)
const insecure = { [oauth.allowInsecureRequests]: true }
const discovered = await oauth.discoveryRequest(issuer, insecure)
const server = await oauth.processDiscoveryResponse(issuer, discovered)
const client = { client_id: 'dev' }
const authentication = oauth.ClientSecretPost('dev')

async function token(proofs) {
  const answer = await oauth.clientCredentialsGrantRequest(
    server, client, authentication, new URLSearchParams({ scope: 'read:messages' }),
    { DPoP: proofs, ...insecure },
  )
  const granted = await oauth.processClientCredentialsResponse(server, client, answer)
  assert.equal(granted.token_type, 'dpop')
  return granted.access_token
}

// oauth4webapi gets a token. If the service requires a nonce, oauth4webapi repeats the request with it.
for (const algorithm of ['ES256', 'RS256', 'PS256']) {
  for (const api of [service, withNonces]) {
    const keys = await oauth.generateKeyPair(algorithm)
    const proofs = oauth.DPoP(client, keys)
    const accessToken = await token(proofs)
    const ask = () => oauth.protectedResourceRequest(
      accessToken, 'GET', new URL(`${api}/api/private?a=b#c`), undefined, undefined,
      { DPoP: proofs, ...insecure },
    )
    let answer
    try {
      answer = await ask()
    } catch (refused) {
      assert.ok(oauth.isDPoPNonceError(refused), `${algorithm}: ${refused}`)
      assert.equal(api, withNonces)
      answer = await ask()
    }
    assert.equal(answer.status, 200, `${algorithm} at ${api}`)
    const claims = await answer.json()
    assert.ok(claims.cnf.jkt)
  }
}

// dpop makes single proofs, among them wrong ones, each of which must get its error code.
const keys = await dpop.generateKeyPair('ES256')
const accessToken = await token(oauth.DPoP(client, keys))
const url = `${service}/api/private`
async function code(proof) {
  const headers = { authorization: `DPoP ${accessToken}`, dpop: proof }
  const answer = await fetch(url, { headers })
  return answer.status === 200 ? 200 : (await answer.json()).code
}
const good = () => dpop.generateProof(keys, url, 'GET', undefined, accessToken)
const proof = await good()
assert.equal(await code(proof), 200)
assert.equal(await code(proof), 'proof_replayed')
assert.equal(await code(await good()), 200)
const others = await dpop.generateKeyPair('ES256')
for (const [wrong, expected] of [
  [dpop.generateProof(keys, url, 'POST', undefined, accessToken), 'invalid_proof'],
  [dpop.generateProof(keys, `${url}/`, 'GET', undefined, accessToken), 'invalid_proof'],
  [dpop.generateProof(keys, url, 'GET', undefined, 'another'), 'invalid_proof'],
  [dpop.generateProof(keys, url, 'GET'), 'invalid_proof'],
  [dpop.generateProof(others, url, 'GET', undefined, accessToken), 'token_bound'],
]) {
  assert.equal(await code(await wrong), expected)
}
console.log('npm dpop and oauth4webapi: passed')
