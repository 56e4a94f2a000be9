// What node-redis needs of a server, in RESP2 and RESP3: connecting, pipelines, transactions, channels, caching, reconnecting.
const assert = require("assert");
const { createClient } = require("redis");

const port = Number(process.argv[2]);
const socket = { port, reconnectStrategy: () => 20 };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function connect(options) {
  // The machine may be busy: the library gives a command five seconds of its own accord.
  const client = createClient({ socket, commandOptions: { timeout: 60000 }, ...options });
  // A connection that ends is an error to the library, and what this is about.
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function basics(db) {
  assert.equal(await db.ping(), "PONG");
  assert.equal(await db.set("greeting", "hello", { EX: 100 }), "OK");
  assert.equal(await db.get("greeting"), "hello");
  assert.deepEqual(await db.multi().set("greeting", "bye").get("greeting").exec(), ["OK", "bye"]);
  await db.hSet("hash", { a: "1", b: "2" });
  assert.deepEqual({ ...(await db.hGetAll("hash")) }, { a: "1", b: "2" });
  await db.zAdd("zset", [{ score: 1.5, value: "a" }]);
  assert.deepEqual(await db.zRangeWithScores("zset", 0, -1), [{ value: "a", score: 1.5 }]);
  await assert.rejects(db.sendCommand(["NOSUCH"]), /unknown command/);
}

async function longPipeline(db) {
  const replies = [];
  for (let n = 0; n < 5000; n++) replies.push(db.set(`long:${n}`, String(n)), db.get(`long:${n}`));
  const all = await Promise.all(replies);
  for (let n = 0; n < 5000; n++) assert.equal(all[2 * n + 1], String(n));
}

async function channels(db, RESP) {
  const subscriber = await connect({ RESP });
  const heard = [];
  await subscriber.subscribe("news", (message) => heard.push(message));
  await subscriber.pSubscribe("new*", (message, channel) => heard.push(`${channel}:${message}`));
  assert.equal(await db.publish("news", "one"), 2);
  while (heard.length < 2) await sleep(5);
  assert.deepEqual(heard.sort(), ["news:one", "one"]);
  // Whoever is cut off comes back and subscribes again by itself.
  assert.ok((await db.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"])) >= 1);
  heard.length = 0;
  while ((await db.publish("news", "two")) < 2) await sleep(20);
  while (heard.length < 2) await sleep(5);
  assert.deepEqual(heard.slice(-2).sort(), ["news:two", "two"]);
  subscriber.destroy();
}

async function reconnecting(db, RESP) {
  const other = await connect({ RESP });
  await db.set("k", "v");
  assert.equal(await other.get("k"), "v");
  assert.ok((await db.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])) >= 1);
  await sleep(50);
  assert.equal(await other.get("k"), "v");
  other.destroy();
}

async function calls(db) {
  const found = /cmdstat_get:calls=(\d+)/.exec(await db.info("commandstats"));
  return found ? Number(found[1]) : 0;
}

async function caching(db) {
  const cached = await connect({ RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: "LRU" } });
  await db.set("cached", "one");
  assert.equal(await cached.get("cached"), "one");
  const before = await calls(db);
  assert.equal(await cached.get("cached"), "one");
  assert.equal(await calls(db), before, "answered by the cache");
  await db.set("cached", "two");
  const until = Date.now() + 20000;
  // What the cache answers leaves no time for the socket.
  for (; (await cached.get("cached")) !== "two"; await sleep(5)) assert.ok(Date.now() < until, "the cache is stale");
  await db.flushDb();
  for (; (await cached.get("cached")) !== null; await sleep(5)) assert.ok(Date.now() < until, "the cache is stale");
  cached.destroy();
}

async function main() {
  for (const RESP of [2, 3]) {
    const db = await connect({ RESP, name: `smoke-${RESP}` });
    await basics(db);
    await longPipeline(db);
    await channels(db, RESP);
    await reconnecting(db, RESP);
    if (RESP === 3) await caching(db);
    await db.flushDb();
    db.destroy();
  }
  console.log("fine");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
