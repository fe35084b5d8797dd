// BullMQ with its defaults, which keep every result: two processes, 50 jobs at a time in each.
import { openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

// Installed under target/, where an import from here would not look.
const require = createRequire(`${process.env.PEER_HOME}/`);
const { Queue, QueueEvents, Worker } = require('bullmq');
const IORedis = require('ioredis');

const NAME = 'peers';
const CONCURRENCY = 50;
const BATCH = 500;
const TIMEOUT_MS = 30_000;
const connect = () => new IORedis(process.env.PEER_REDIS, { maxRetriesPerRequest: null });
const message = { a: 6, b: 7 };

// The number of finished jobs, in a file of this process: nothing for Redis to do, and one write per turn of the
// event loop at most.
function counter() {
  const file = openSync(`${process.env.PEER_COUNTS}/${process.pid}`, 'w');
  const cell = Buffer.alloc(8);
  let done = 0;
  let waiting = false;
  return () => {
    done += 1;
    if (waiting) return;
    waiting = true;
    setImmediate(() => {
      waiting = false;
      cell.writeBigUInt64LE(BigInt(done));
      writeSync(file, cell, 0, 8, 0);
    });
  };
}

async function timed(work) {
  const started = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - started) / 1e9;
}

async function inBatches(jobs, size, post) {
  for (let start = 0; start < jobs; start += size) await post(Math.min(size, jobs - start));
}

async function roundTrips(queue, jobs) {
  const events = new QueueEvents(NAME, { connection: connect() });
  await events.waitUntilReady();
  const times = [];
  for (let n = 0; n < jobs; n += 1) {
    times.push(await timed(async () => (await queue.add('multiply', message)).waitUntilFinished(events, TIMEOUT_MS)));
  }
  return times;
}

function work() {
  const count = counter();
  const multiply = async ({ data }) => {
    count();
    return data.a * data.b;
  };
  new Worker(NAME, multiply, { connection: connect(), concurrency: CONCURRENCY }).on('error', console.error);
}

const verbs = {
  about: () => ({
    name: 'BullMQ',
    version: require('bullmq/package.json').version,
    start: 2,
    bulk: true,
    caveat: `2 processes, ${CONCURRENCY} jobs at a time in each; single posts are sent ${CONCURRENCY} at a time`,
  }),
  post: (queue, jobs) =>
    timed(() => inBatches(jobs, CONCURRENCY, (n) =>
      Promise.all(Array.from({ length: n }, () => queue.add('multiply', message))))),
  'post-bulk': (queue, jobs) =>
    timed(() => inBatches(jobs, BATCH, (n) =>
      queue.addBulk(Array.from({ length: n }, () => ({ name: 'multiply', data: message }))))),
  'round-trip': roundTrips,
};

const [verb, jobs] = process.argv.slice(2);
if (verb === 'work') {
  work();
} else {
  const queue = verb === 'about' ? null : new Queue(NAME, { connection: connect() });
  await queue?.waitUntilReady();
  console.log(JSON.stringify(await verbs[verb](queue, Number(jobs))));
  process.exit();
}
