// What ioredis needs of a server: connecting with its ready check, pipelines, transactions, scanning, names.
const assert = require("assert");
const Redis = require("ioredis");

const port = Number(process.argv[2]);

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

  const found = new Set();
  for await (const keys of db.scanStream({ match: "key:*", count: 7 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 100);

  assert.match(await db.client("LIST"), /name=smoke .*cmd=client\|list/);
  const hello = await db.call("HELLO", "2");
  assert.equal(hello[hello.indexOf("proto") + 1], 2);
  await assert.rejects(db.call("NOSUCH"), /unknown command/);
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
