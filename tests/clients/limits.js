// Scripts under contention: eight clients that take one lock in turn, and share one allowance.
const assert = require("assert");
const Redis = require("ioredis");
const Redlock = require("redlock");
const { RateLimiterRedis } = require("rate-limiter-flexible");

const port = Number(process.argv[2]);

const CLIENTS = 8;
const TURNS = 25;

// A bucket that holds so many tokens and is filled at so many a second, by the server's clock.
const TOKENS = `
  local now = redis.call('TIME')
  now = now[1] * 1000 + math.floor(now[2] / 1000)
  local size, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
  local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
  local tokens = tonumber(bucket[1] or size)
  local passed = math.max(0, now - tonumber(bucket[2] or now))
  tokens = math.min(size, tokens + passed * rate / 1000)
  local taken = tokens >= 1 and 1 or 0
  redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - taken), 'at', now)
  redis.call('PEXPIRE', KEYS[1], 60000)
  return taken`;

async function each(clients, work) {
  await Promise.all(clients.map(work));
}

async function lock(clients) {
  let inside = 0;
  await each(clients, async (client) => {
    const redlock = new Redlock([client], { retryCount: 10000, retryDelay: 2, retryJitter: 3 });
    for (let turn = 0; turn < TURNS; turn++) {
      const held = await redlock.lock("lock", 10000);
      assert.equal(++inside, 1);
      // Only who holds the lock may read and write without losing what others have written.
      await client.set("counter", Number(await client.get("counter")) + 1);
      inside--;
      await held.unlock();
    }
  });
  assert.equal(await clients[0].get("counter"), String(CLIENTS * TURNS));
  assert.equal(await clients[0].exists("lock"), 0);
}

async function tokens(clients) {
  const began = Date.now();
  let taken = 0;
  await each(clients, async (client) => {
    client.defineCommand("take", { numberOfKeys: 1, lua: TOKENS });
    for (let turn = 0; turn < 4 * TURNS; turn++) {
      const more = await client.take("bucket", 50, 10);
      taken += more;
    }
  });
  const filled = (Date.now() - began) / 100;
  assert.ok(taken >= 50 && taken <= 51 + filled, `${taken} taken, ${filled} filled`);
}

async function points(clients) {
  let [allowed, refused] = [0, 0];
  await each(clients, async (client) => {
    const limiter = new RateLimiterRedis({ storeClient: client, points: 50, duration: 600, keyPrefix: "points" });
    for (let turn = 0; turn < TURNS; turn++) await limiter.consume("somebody").then(() => allowed++, () => refused++);
  });
  assert.deepEqual([allowed, refused], [50, CLIENTS * TURNS - 50]);
}

async function main() {
  const clients = Array.from({ length: CLIENTS }, () => new Redis({ port }));
  await clients[0].flushall();
  await lock(clients);
  await tokens(clients);
  await points(clients);
  clients.forEach((client) => client.disconnect());
  console.log("fine");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
