// A browser whose user consents to everything.

import assert from 'node:assert/strict';

/** Follows the redirects of an authorization like a browser. Returns the first URL that is not the provider's. */
export async function browse(url) {
  const jar = new Map();
  for (let next = new URL(url); ; ) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      jar.set(name, value);
    }
    assert.ok([302, 303].includes(answer.status), `${next}: ${answer.status} ${await answer.text()}`);
    const origin = next.origin;
    next = new URL(answer.headers.get('location'), next);
    if (next.origin !== origin) {
      assert.equal(next.searchParams.get('error'), null, next.href);
      return next;
    }
  }
}
