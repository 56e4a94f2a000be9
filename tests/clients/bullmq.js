// BullMQ, whose jobs move by scripts: each job is done once, whatever it waits for. The number of jobs may be given.
const assert = require("assert");
const { FlowProducer, Queue, Worker } = require("bullmq");

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const JOBS = Number(process.argv[3] || process.env.RUSSET_BULLMQ_JOBS || 1000);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(holds, what) {
  for (const end = Date.now() + 120000; !holds(); await sleep(20)) assert.ok(Date.now() < end, what);
}

// Plain, delayed and prioritised jobs, and four workers.
async function everyJobOnce() {
  const queue = new Queue("jobs", { connection });
  const seen = new Map();
  const work = async (job) => {
    seen.set(job.id, (seen.get(job.id) || 0) + 1);
    return job.data.n;
  };
  const workers = Array.from({ length: 4 }, () => new Worker("jobs", work, { connection, concurrency: 8 }));
  const job = (n) => ({
    name: "job",
    data: { n },
    opts: { delay: n % 5 === 0 ? 300 : 0, priority: n % 7 === 0 ? 1 + (n % 3) : 0 },
  });
  for (let n = 0; n < JOBS; n += 100) {
    await queue.addBulk(Array.from({ length: Math.min(100, JOBS - n) }, (_, more) => job(n + more)));
  }
  await until(() => seen.size === JOBS, "jobs are lost");
  let counts = {};
  for (let tries = 0; tries < 500 && counts.completed !== JOBS; tries++) {
    await sleep(20);
    counts = await queue.getJobCounts();
  }
  const { completed, waiting, delayed, active, failed, prioritized } = counts;
  assert.deepEqual([completed, waiting, delayed, active, failed, prioritized], [JOBS, 0, 0, 0, 0, 0]);
  assert.ok([...seen.values()].every((times) => times === 1), "a job was done twice");
  await Promise.all(workers.map((worker) => worker.close()));
  await queue.close();
}

async function again() {
  const queue = new Queue("again", { connection });
  let ticks = 0;
  const worker = new Worker("again", async () => ticks++, { connection });
  await queue.upsertJobScheduler("every", { every: 50 }, { name: "tick" });
  await until(() => ticks >= 5, "a repeated job stops");
  assert.equal(await queue.removeJobScheduler("every"), true);
  await worker.close();
  await queue.close();
}

async function notTooOften() {
  const queue = new Queue("often", { connection });
  let done = 0;
  const began = Date.now();
  const worker = new Worker("often", async () => done++, { connection, limiter: { max: 10, duration: 300 } });
  await queue.addBulk(Array.from({ length: 40 }, (_, n) => ({ name: "job", data: { n } })));
  await until(() => done === 40, "limited jobs are lost");
  assert.ok(Date.now() - began >= 850, "forty jobs at ten in 300 ms take three pauses");
  await worker.close();
  await queue.close();
}

async function parents() {
  const flow = new FlowProducer({ connection });
  let children;
  const work = async (job) => {
    if (job.name === "parent") children = Object.values(await job.getChildrenValues()).sort();
    return job.data.n;
  };
  const worker = new Worker("flow", work, { connection, concurrency: 4 });
  const child = (n) => ({ name: "child", queueName: "flow", data: { n } });
  await flow.add({ name: "parent", queueName: "flow", data: {}, children: [1, 2, 3].map(child) });
  await until(() => children, "a parent waits for ever");
  assert.deepEqual(children, [1, 2, 3]);
  await worker.close();
  await flow.close();
}

// A worker that takes a job and goes: another one finds it.
async function stalled() {
  const queue = new Queue("stalled", { connection });
  let taken = false;
  const takes = () => new Promise(() => (taken = true));
  const lost = { connection, lockDuration: 300, skipLockRenewal: true, skipStalledCheck: true };
  const gone = new Worker("stalled", takes, lost);
  gone.on("error", () => {});
  await queue.add("job", {});
  await until(() => taken, "nobody takes the job");
  await gone.close(true);
  let recovered = 0;
  const other = { connection, stalledInterval: 200, lockDuration: 1000 };
  const worker = new Worker("stalled", async () => recovered++, other);
  await until(() => recovered > 0, "a stalled job is lost");
  await sleep(100);
  assert.equal(recovered, 1);
  await worker.close();
  await queue.close();
}

async function main() {
  await everyJobOnce();
  await again();
  await notTooOften();
  await parents();
  await stalled();
  console.log("fine");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
