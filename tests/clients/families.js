// Every family of data as ioredis' documentation uses it, and what people build with it: a leaderboard, a limiter, a pool
// of workers of which one dies, a store of sessions. Clients that know RESP3 do it again in that.
const assert = require("assert");
const Redis = require("ioredis");

const port = Number(process.argv[2]);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function strings(db) {
  await db.mset({ a: 1, b: 2 });
  assert.deepEqual(await db.mget("a", "b", "none"), ["1", "2", null]);
  assert.equal(await db.incrby("a", 9), 10);
  assert.equal(Number(await db.incrbyfloat("f", 1.5)), 1.5);
  assert.equal(await db.set("once", "x", "EX", 100, "NX"), "OK");
  assert.equal(await db.set("once", "y", "NX"), null);
  assert.equal(await db.getdel("once"), "x");
  const bytes = Buffer.from([0, 255, 13, 10]);
  await db.set("bytes", bytes);
  assert.deepEqual(await db.getBuffer("bytes"), bytes);
}

async function bits(db) {
  assert.equal(await db.setbit("days", 7, 1), 0);
  await db.setbit("other", 6, 1);
  assert.equal(await db.bitop("OR", "both", "days", "other"), 1);
  assert.equal(await db.bitcount("both"), 2);
  assert.deepEqual(await db.bitfield("n", "SET", "u8", "#0", 250, "OVERFLOW", "SAT", "INCRBY", "u8", "#0", 100), [0, 255]);
}

async function lists(db) {
  assert.equal(await db.rpush("jobs", "a", "b", "c"), 3);
  assert.deepEqual(await db.lrange("jobs", 0, -1), ["a", "b", "c"]);
  assert.equal(await db.lmove("jobs", "done", "LEFT", "RIGHT"), "a");
  assert.deepEqual(await db.lmpop(2, "none", "jobs", "LEFT", "COUNT", 2), ["jobs", ["b", "c"]]);
  const waiting = db.duplicate();
  const popped = waiting.blpop("later", 5);
  await sleep(50);
  await db.rpush("later", "at last");
  assert.deepEqual(await popped, ["later", "at last"]);
  waiting.disconnect();
}

async function sets(db) {
  await db.sadd("odd", 1, 3, 5);
  await db.sadd("prime", [2, 3, 5]);
  assert.deepEqual((await db.sinter("odd", "prime")).sort(), ["3", "5"]);
  assert.equal(await db.sintercard(2, "odd", "prime"), 2);
  assert.deepEqual(await db.smismember("odd", 1, 2), [1, 0]);
  assert.equal((await db.srandmember("odd", -7)).length, 7);
  const found = [];
  for await (const members of db.sscanStream("prime")) found.push(...members);
  assert.deepEqual(found.sort(), ["2", "3", "5"]);
}

async function hashes(db) {
  assert.equal(await db.hset("user", { name: "ada", visits: 1 }), 2);
  assert.equal(await db.hincrby("user", "visits", 4), 5);
  assert.deepEqual({ ...(await db.hgetall("user")) }, { name: "ada", visits: "5" });
  assert.deepEqual(await db.hmget("user", "name", "none"), ["ada", null]);
  assert.equal(await db.hdel("user", "visits"), 1);
}

async function sortedSets(db) {
  assert.equal(await db.zadd("z", 1, "a", 2.5, "b", "+inf", "c"), 3);
  assert.deepEqual(await db.zrange("z", "(1", "+inf", "BYSCORE"), ["b", "c"]);
  assert.equal(Number(await db.zscore("z", "b")), 2.5);
  assert.equal(await db.zadd("z", "GT", "CH", 5, "a"), 1);
  assert.equal(await db.zunionstore("u", 2, "z", "none", "WEIGHTS", 2, 1), 3);
  assert.equal(Number(await db.zscore("u", "a")), 10);
  assert.equal((await db.bzpopmin("z", 1))[1], "b");
}

async function places(db) {
  await db.geoadd("cities", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania");
  const distance = Number(await db.geodist("cities", "Palermo", "Catania", "km"));
  assert.ok(distance > 166 && distance < 167);
  assert.deepEqual(await db.geosearch("cities", "FROMLONLAT", 15, 37, "BYRADIUS", 100, "km"), ["Catania"]);
}

async function counters(db) {
  await db.pfadd("today", ...Array.from({ length: 1000 }, (_, n) => n));
  const count = await db.pfcount("today");
  assert.ok(count > 950 && count < 1050);
  assert.equal(await db.pfmerge("week", "today"), "OK");
}

async function streams(db) {
  const first = await db.xadd("log", "MAXLEN", "~", 1000, "*", "level", "info");
  await db.xadd("log", "*", "level", "warn");
  assert.deepEqual(await db.xrange("log", "-", "+", "COUNT", 1), [[first, ["level", "info"]]]);
  const reader = db.duplicate();
  const next = reader.xread("BLOCK", 5000, "STREAMS", "log", "$");
  await sleep(50);
  await db.xadd("log", "7777777777777-0", "level", "late");
  const read = await next;
  const entries = Array.isArray(read) ? read[0][1] : read.log;
  assert.deepEqual(entries, [["7777777777777-0", ["level", "late"]]]);
  reader.disconnect();
}

async function leaderboard(db) {
  const pipeline = db.pipeline();
  for (let n = 0; n < 1000; n++) pipeline.zadd("board", n, `player:${n}`);
  await pipeline.exec();
  assert.equal(Number(await db.zincrby("board", 500.5, "player:600")), 1100.5);
  assert.equal(await db.zrevrank("board", "player:600"), 0);
  assert.deepEqual(await db.zrange("board", 0, 1, "REV"), ["player:600", "player:999"]);
  const rank = await db.zrevrank("board", "player:500");
  assert.deepEqual(await db.zrange("board", rank - 1, rank + 1, "REV"), ["player:501", "player:500", "player:499"]);
  assert.equal(await db.zcount("board", 990, "+inf"), 11);
}

async function limiter(db) {
  let nth = 0;
  const mayCall = async (user) => {
    const [key, now] = [`calls:${user}`, Date.now()];
    const replies = await db.multi()
      .zremrangebyscore(key, 0, now - 300)
      .zadd(key, now, `${now}:${nth++}`)
      .zcard(key)
      .pexpire(key, 300)
      .exec();
    return replies[2][1] <= 5;
  };
  for (let call = 0; call < 7; call++) assert.equal(await mayCall("ada"), call < 5);
  assert.ok(await mayCall("bob"));
  await sleep(350);
  assert.ok(await mayCall("ada"));
}

async function workers(db) {
  await db.xgroup("CREATE", "tasks", "pool", "0", "MKSTREAM");
  for (let n = 0; n < 60; n++) await db.xadd("tasks", "*", "n", n);
  const dead = db.duplicate();
  assert.ok(await dead.xreadgroup("GROUP", "pool", "dead", "COUNT", 10, "STREAMS", "tasks", ">"));
  dead.disconnect();
  const done = [];
  const work = async (name) => {
    const own = db.duplicate();
    for (;;) {
      const read = await own.xreadgroup("GROUP", "pool", name, "COUNT", 7, "BLOCK", 50, "STREAMS", "tasks", ">");
      let entries = read ? (Array.isArray(read) ? read[0][1] : read.tasks) : [];
      if (!entries.length) entries = (await own.xautoclaim("tasks", "pool", name, 100, "0-0", "COUNT", 4))[1];
      if (!entries.length && (await own.xpending("tasks", "pool"))[0] === 0) break;
      for (const [id, fields] of entries) {
        done.push(Number(fields[1]));
        assert.equal(await own.xack("tasks", "pool", id), 1);
      }
    }
    own.disconnect();
  };
  await Promise.all(["one", "two", "three"].map(work));
  assert.deepEqual(done.sort((a, b) => a - b), Array.from({ length: 60 }, (_, n) => n));
}

async function sessions(db) {
  await db.hset("session:ada", { phone: "token-1", laptop: "token-2", name: "ada" });
  assert.deepEqual(await db.call("HEXPIRE", "session:ada", 100, "FIELDS", 1, "phone"), [1]);
  assert.deepEqual(await db.call("HPEXPIRE", "session:ada", 80, "FIELDS", 1, "laptop"), [1]);
  assert.deepEqual(await db.call("HGETEX", "session:ada", "EX", 500, "FIELDS", 1, "phone"), ["token-1"]);
  await sleep(150);
  assert.equal(await db.hget("session:ada", "laptop"), null);
  assert.deepEqual({ ...(await db.hgetall("session:ada")) }, { phone: "token-1", name: "ada" });
  assert.deepEqual(await db.call("HTTL", "session:ada", "FIELDS", 2, "name", "none"), [-1, -2]);
}

const uses = [strings, bits, lists, sets, hashes, sortedSets, places, counters, streams, leaderboard, limiter, workers, sessions];

async function main() {
  for (const protocol of [2, 3]) {
    const db = new Redis({ port, protocol, maxRetriesPerRequest: 1 });
    for (const use of uses) {
      await db.flushall();
      await use(db).catch((error) => {
        console.error(`${use.name} with protocol ${protocol}`);
        throw error;
      });
    }
    await db.quit();
  }
  console.log("fine");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
