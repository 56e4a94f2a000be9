// What ioredis needs of a server: connecting with its ready check, pipelines, transactions, scanning, names, channels, reconnecting.
const assert = require("assert");
const Redis = require("ioredis");

const port = Number(process.argv[2]);

const next = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

async function longPipeline(db) {
  const pipeline = db.pipeline();
  for (let n = 0; n < 5000; n++) pipeline.set(`long:${n}`, n).get(`long:${n}`);
  const replies = await pipeline.exec();
  for (let n = 0; n < 5000; n++) assert.deepEqual(replies[2 * n + 1], [null, String(n)]);
}

async function channels(db) {
  const subscriber = new Redis({ port, retryStrategy: () => 20 });
  assert.equal(await subscriber.subscribe("news"), 1);
  assert.equal(await subscriber.psubscribe("new*"), 2);
  let messages = Promise.all([next(subscriber, "message"), next(subscriber, "pmessage")]);
  assert.equal(await db.publish("news", "one"), 2);
  assert.deepEqual(await messages, [["news", "one"], ["new*", "news", "one"]]);
  // Whoever is cut off comes back and subscribes again by itself.
  assert.ok((await db.client("KILL", "TYPE", "pubsub")) >= 1);
  messages = Promise.all([next(subscriber, "message"), next(subscriber, "pmessage")]);
  while ((await db.publish("news", "two")) < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(await messages, [["news", "two"], ["new*", "news", "two"]]);
  subscriber.disconnect();
}

// RESP2 has no push: another connection hears what this one is to forget.
async function caching(db) {
  const [reader, ear] = [new Redis({ port, protocol: 2 }), new Redis({ port, protocol: 2 })];
  const id = await ear.client("ID");
  await ear.subscribe("__redis__:invalidate");
  assert.equal(await reader.client("TRACKING", "ON", "REDIRECT", id), "OK");
  assert.equal(await reader.get("cached"), null);
  const heard = new Promise((resolve) => ear.once("messageBuffer", (channel, keys) => resolve([String(channel), String(keys)])));
  await db.set("cached", "one");
  assert.deepEqual(await heard, ["__redis__:invalidate", "cached"]);
  reader.disconnect();
  ear.disconnect();
}

async function reconnecting(db) {
  const other = new Redis({ port, retryStrategy: () => 20 });
  await db.set("k", "v");
  assert.equal(await other.get("k"), "v");
  assert.ok((await db.client("KILL", "TYPE", "normal", "SKIPME", "yes")) >= 1);
  assert.equal(await other.get("k"), "v");
  other.disconnect();
}

async function main() {
  const db = new Redis({ port, connectionName: "smoke", maxRetriesPerRequest: 1 });
  assert.equal(await db.ping(), "PONG");
  assert.equal(await db.set("greeting", "hello", "EX", 100), "OK");
  assert.equal(await db.get("greeting"), "hello");
  assert.equal(await db.expire("greeting", 50), 1);
  assert.ok((await db.ttl("greeting")) > 0);

  const pipeline = db.pipeline();
  for (let n = 0; n < 100; n++) pipeline.set(`key:${n}`, n);
  const replies = await pipeline.get("key:42").exec();
  assert.deepEqual(replies[100], [null, "42"]);

  const results = await db.multi().set("greeting", "bye").get("greeting").exec();
  assert.deepEqual(results, [[null, "OK"], [null, "bye"]]);

  db.defineCommand("window", {
    numberOfKeys: 1,
    lua: `
      redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1] - ARGV[2])
      if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
      redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1])
      return 1`,
  });
  const allowed = [];
  for (const now of [1000, 1001, 1002, 1003, 2002]) allowed.push(await db.window("window", now, 1000, 3));
  assert.deepEqual(allowed, [1, 1, 1, 0, 1]);

  const found = new Set();
  for await (const keys of db.scanStream({ match: "key:*", count: 7 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 100);

  assert.match(await db.client("LIST"), /name=smoke .*cmd=client\|list/);
  const hello = await db.call("HELLO", "2");
  assert.equal(hello[hello.indexOf("proto") + 1], 2);
  await assert.rejects(db.call("NOSUCH"), /unknown command/);
  await longPipeline(db);
  await channels(db);
  await caching(db);
  await reconnecting(db);
  await db.quit();

  const modern = new Redis({ port, lazyConnect: true });
  await modern.connect();
  assert.equal(await modern.select(3), "OK");
  modern.disconnect();
  console.log("fine");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
