// SPDX-License-Identifier: Apache-2.0
// What the npm package `consul` does with an agent. Usage: node client.js ADDRESS PORT
'use strict';
const assert = require('assert');
const consul = require('consul')({ host: process.argv[2], port: process.argv[3], promisify: true });

const steps = {
  async values() {
    assert.strictEqual(await consul.kv.set('a/b', 'one'), true);
    assert.strictEqual((await consul.kv.get('a/b')).Value, 'one');
    assert.strictEqual(await consul.kv.get('none'), undefined);
    assert.deepStrictEqual(await consul.kv.keys('a/'), ['a/b']);
    assert.strictEqual(await consul.kv.set({ key: 'a/b', value: 'two', cas: '0' }), false);
    await consul.kv.del({ key: 'a/', recurse: true });
    assert.strictEqual(await consul.kv.get('a/b'), undefined);
  },
  async services_and_checks() {
    await consul.agent.service.register({ name: 'web', id: 'w1', port: 80, tags: ['x'], check: { ttl: '60s' } });
    assert.strictEqual((await consul.agent.service.list()).w1.Port, 80);
    await consul.agent.check.pass('service:w1');
    assert.strictEqual((await consul.agent.check.list())['service:w1'].Status, 'passing');
    const found = await consul.health.service({ service: 'web', passing: true });
    assert.deepStrictEqual(found.map((e) => e.Service.ID), ['w1']);
    assert.deepStrictEqual((await consul.catalog.service.list()).web, ['x']);
    assert.strictEqual((await consul.catalog.service.nodes('web'))[0].ServicePort, 80);
    await consul.agent.service.maintenance({ id: 'w1', enable: true, reason: 'rest' });
    assert.deepStrictEqual(await consul.health.service({ service: 'web', passing: true }), []);
    await consul.agent.service.deregister('w1');
    assert.strictEqual((await consul.agent.service.list()).w1, undefined);
  },
  async sessions() {
    const { ID } = await consul.session.create({ name: 's', ttl: '30s', lockdelay: '0s' });
    assert.strictEqual((await consul.session.get(ID)).Name, 's');
    assert.strictEqual(await consul.kv.set({ key: 'l', value: 'v', acquire: ID }), true);
    assert.strictEqual((await consul.kv.get('l')).Session, ID);
    await consul.session.renew(ID);
    await consul.session.destroy(ID);
    assert.strictEqual((await consul.kv.get('l')).Session, undefined);
  },
  async status_and_agent() {
    assert.ok(/:\d+$/.test(await consul.status.leader()));
    assert.strictEqual((await consul.status.peers()).length, 1);
    assert.strictEqual((await consul.agent.members()).length, 1);
    assert.strictEqual((await consul.agent.self()).Config.Datacenter, 'dc1');
    assert.deepStrictEqual(await consul.catalog.datacenters(), ['dc1']);
  },
  async events() {
    const fired = await consul.event.fire('deploy', 'now');
    for (;;) {
      const seen = await consul.event.list('deploy');
      if (seen.some((e) => e.ID === fired.ID && e.Payload === 'now')) break;
    }
  },
  async watch() {
    const watch = consul.watch({ method: consul.kv.get, options: { key: 'watched' }, backoffFactor: 10 });
    const change = (wanted) => new Promise((done, failed) => {
      const look = (data) => { if ((data && data.Value) === wanted) { watch.removeListener('change', look); done(); } };
      watch.on('change', look);
      watch.once('error', failed);
    });
    const first = change('one');
    await consul.kv.set('watched', 'one');
    await first;
    const second = change('two');
    await consul.kv.set('watched', 'two');
    await second;
    watch.end();
  },
  async transaction() {
    const done = await consul.transaction.create([
      { KV: { Verb: 'set', Key: 't', Value: Buffer.from('x').toString('base64') } }, { KV: { Verb: 'get', Key: 't' } }]);
    assert.strictEqual(done.Errors, null);
    assert.strictEqual(done.Results.length, 2);
  },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    await step();
    console.log('client: ' + name);
  }
})().then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });
