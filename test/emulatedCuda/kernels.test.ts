// Kernels in PTX text (samples/) from registration to results, on the stand-in for CUDA's runtime library alone: blocks, barriers,
// warps, atomic operations, calls and memory, against plain JavaScript; and what must be refused or told.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Argument, Device, launchable } from './launches';

const skip = !launchable;
const samples = ['threads.ptx', 'failures.ptx'];
const modules = (): Record<string, string> =>
  Object.fromEntries(
    samples.map((name) => [name, readFileSync(join('test', 'emulatedCuda', 'samples', name), 'utf8')]),
  );

/** Kernels that end the process run in one of their own. */
const failing: Record<string, { block: number; args: Argument[] }> = {
  asserting: { block: 40, args: [33] },
  stuck: { block: 64, args: [] },
  lonely: { block: 32, args: [] },
  different: { block: 32, args: [] },
  wild: { block: 1, args: [] },
  trapping: { block: 1, args: [] },
};
const [chosen, given] = (process.env.KERNEL_TO_FAIL ?? '').split(' ');
if (chosen && given) {
  Device.open(given, modules()).run(chosen, [1], [failing[chosen]!.block], failing[chosen]!.args);
  process.exit(0);
}

const folder = mkdtempSync(join(tmpdir(), 'workbench-kernels-'));
let device: Device;
before(() => {
  if (!skip) device = Device.open(folder, modules());
});
after(() => rmSync(folder, { recursive: true, force: true }));
const u32 = (at: bigint, count: number): Uint32Array => new Uint32Array(device.copyOut(at, 4 * count));
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test('blocks sum through static and dynamic shared memory between barriers', { skip }, () => {
  for (const [block, blocks] of [
    [64, 3],
    [1024, 5],
  ] as const) {
    const count = block * blocks - 17;
    const values = Float32Array.from(range(count), (i) => (i % 13) - 4);
    const out = device.allocate(8 * blocks);
    device.run('blockSum', [blocks], [block], [device.copyIn(values), out, count], 4 * block);
    const expected = range(blocks).flatMap((b) => {
      const own = values.slice(b * block, (b + 1) * block);
      return [own.reduce((x, y) => x + y, 0), own.filter((v) => v > 1).length];
    });
    assert.deepEqual([...new Float32Array(device.copyOut(out, 8 * blocks))], expected);
  }
});

test('lanes shuffle up, down, across and by index in segments', { skip }, () => {
  for (const by of [0, 1, 5, 8, 19, 31]) {
    const out = device.allocate(64 * 96);
    device.run('shuffles', [1], [64], [by, out]);
    const expected = range(64).flatMap((thread) => {
      const lane = thread % 32;
      return [8, 16, 32].flatMap((size) => {
        const first = lane - (lane % size);
        const froms = [lane - by, lane + by, lane ^ by, first + (by % size)];
        const found = froms.map((from) => from >= first && from < first + size);
        // Across, only the segment's end bounds.
        found[2] = froms[2]! < first + size;
        const values = froms.map((from, k) => 3 * (thread - lane + (found[k] ? from : lane)));
        return [...values, ...found.map(Number)];
      });
    });
    assert.deepEqual([...u32(out, 64 * 24)], expected, `by ${by}`);
  }
});

test('lanes vote, match, reduce and elect one', { skip }, () => {
  const same = Array.from({ length: 32 }, () => 6);
  const values = [...range(32).map((i) => ((i * 7) % 5) - 2), ...same, ...range(9).map((i) => 2 * i + 1)];
  const n = values.length;
  const out = device.allocate(48 * n);
  device.run('meetings', [1], [n], [device.copyIn(Int32Array.from(values)), out]);
  const expected = values.flatMap((own, thread) => {
    const warp = values.slice(thread - (thread % 32), thread - (thread % 32) + 32);
    const mask = (f: (v: number) => boolean): number =>
      warp.reduce((all, v, k) => all + (f(v) ? 2 ** k : 0), 0);
    const odd = warp.filter((v) => v & 1).length;
    const votes = (odd ? 1 : 0) + (odd ? 0 : 2) + (odd === 0 || odd === warp.length ? 4 : 0);
    const all = warp.every((v) => v === own);
    const unsigned = warp.map((v) => v >>> 0);
    return [
      votes,
      mask((v) => (v & 1) === 1),
      mask((v) => v === own),
      all ? mask(() => true) : 0,
      all ? 1 : 0,
      warp.reduce((x, y) => x + y, 0) >>> 0,
      Math.min(...warp) >>> 0,
      Math.max(...warp) >>> 0,
      Math.min(...unsigned),
      warp.reduce((x, y) => x ^ y, 0) >>> 0,
      thread % 32 === 0 ? 32 : 0,
      warp.reduce((x, y) => x | y, 0) >>> 0,
    ];
  });
  assert.deepEqual([...u32(out, 12 * n)], expected);
});

test('lanes that went different ways meet with masks of their own, without those that ended', {
  skip,
}, () => {
  const out = device.allocate(128);
  device.run('divergent', [1], [32], [out]);
  const expected = range(32).map((lane) => {
    if (lane >= 24) return 7;
    const own =
      lane < 12
        ? 11 + Math.max(lane - 1, 0)
        : range(24)
            .slice(12)
            .reduce((x, y) => x + y, 0);
    return own * 65536 + 0xfff;
  });
  assert.deepEqual([...u32(out, 32)], expected);
});

test('a part of a block waits at a barrier of its own', { skip }, () => {
  const out = device.allocate(4 * 160);
  device.run('halves', [1], [160], [out]);
  const rest = range(160).slice(64);
  const sum = rest.reduce((x, y) => x + y, 0);
  assert.deepEqual([...u32(out, 160)], [...range(64).map(() => 64), ...rest.map(() => sum)]);
});

test('atomic operations of every sort lose nothing', { skip }, () => {
  const start = new DataView(new ArrayBuffer(72));
  start.setInt32(8, -1000, true);
  start.setInt32(12, 1000, true);
  start.setUint32(16, 0xffffffff, true);
  start.setUint16(64, 0xffff, true);
  const cells = device.copyIn(new Uint8Array(start.buffer));
  device.run('atomics', [1], [96], [cells]);
  const found = new DataView(device.copyOut(cells, 72));
  const sum = (96 * 95) / 2;
  assert.equal(found.getUint32(0, true), sum);
  assert.equal(found.getFloat32(4, true), sum);
  assert.equal(found.getInt32(8, true), 45);
  assert.equal(found.getInt32(12, true), -50);
  assert.equal(found.getUint32(16, true), 0);
  // Ten states by turns, up and down.
  assert.equal(found.getUint32(20, true), 96 % 10);
  assert.equal(found.getUint32(24, true), (10 - (96 % 10)) % 10);
  assert.equal(
    found.getUint32(28, true),
    range(96).reduce((x, y) => x ^ y, 0),
  );
  assert.equal(found.getFloat64(32, true), sum);
  assert.equal(found.getBigUint64(40, true), BigInt(sum));
  assert.equal(found.getUint16(48, true), 0x5600); // 96 in fp16
  assert.equal(found.getUint16(50, true), 0x42c0); // 96 in bfloat16
  assert.equal(found.getUint32(52, true), 0x56005200); // 96 and 48
  assert.equal(found.getUint32(56, true), 95);
  assert.equal(found.getUint32(60, true), 96);
  assert.equal(found.getUint16(64, true), 0);
});

test('functions call themselves, take structs by value, and may end their thread', { skip }, () => {
  const out = device.copyIn(new Uint32Array(16));
  const pair = new DataView(new ArrayBuffer(16));
  pair.setBigUint64(0, 100n, true);
  pair.setInt8(8, -20);
  device.run('calls', [1], [16], [out, new Uint8Array(pair.buffer)]);
  const numbers = [0, 1];
  while (numbers.length < 16) numbers.push(numbers.at(-1)! + numbers.at(-2)!);
  const expected = numbers.map((n, i) => (i === 4 ? 0 : n - 20 + 3 - 1 + 100));
  assert.deepEqual([...u32(out, 16)], expected);
});

test('threads loop, branch under predicates and jump through tables', { skip }, () => {
  const out = device.allocate(4 * 96);
  device.run('branches', [1, 3], [32], [out, 5]);
  const expected = range(96).map((i) => {
    const first = i + 5;
    let steps = 0;
    for (let n = first; n !== 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
    return steps + (first % 16 === 0 ? 4000 : [1000, 2000, 1000, 3000][first % 4]!);
  });
  assert.deepEqual([...u32(out, 96)], expected);
});

test('vectors, narrow numbers and copies into shared memory lie as they should', { skip }, () => {
  const bytes = Uint8Array.from(range(32), (i) => (i * 37 + 100) & 255);
  const [from, to] = [device.copyIn(bytes), device.copyIn(new Uint8Array(80))];
  device.run('vectors', [1], [1], [from, to]);
  const expected = new DataView(new ArrayBuffer(80));
  const source = new DataView(bytes.buffer);
  for (const k of range(8)) expected.setUint32(4 * k, source.getUint32(28 - 4 * k, true), true);
  for (const k of range(4)) expected.setUint8(32 + k, bytes[6 - k]!);
  expected.setBigInt64(40, BigInt(source.getInt8(3)), true);
  expected.setBigUint64(48, from, true);
  expected.setInt32(56, source.getInt16(2, true), true);
  for (const k of range(2)) expected.setUint32(64 + 4 * k, source.getUint32(4 * k, true), true);
  assert.deepEqual([...new Uint8Array(device.copyOut(to, 80))], [...new Uint8Array(expected.buffer)]);
});

test('launches that no device takes are refused', { skip }, () => {
  const [invalidConfiguration, notSupported] = [9, 801];
  const args = [device.allocate(4), 1];
  assert.equal(device.launch('branches', [1], [2048], args), invalidConfiguration);
  assert.equal(device.launch('branches', [1], [32, 33], args), invalidConfiguration);
  assert.equal(device.launch('branches', [0], [32], args), invalidConfiguration);
  assert.equal(device.launch('branches', [1, 65536], [32], args), invalidConfiguration);
  assert.equal(device.launch('absent', [1], [32], []), notSupported);
  assert.equal(device.launch('unknownPart', [1], [32], []), notSupported);
  assert.equal(device.launch('unknownInstruction', [1], [32], []), notSupported);
});

for (const [name, expected] of [
  ['asserting', /kernel asserting, block 0 0 0: kind\.cu:41: kind\.cu: assertion x < number/],
  ['stuck', /kernel stuck, block 0 0 0: its threads wait for ever: 63 at barrier 0; 1 at barrier 3;/],
  ['lonely', /kernel lonely, .*: its threads wait for ever: 1 at barrier 0; 31 for lanes of their warps;/],
  ['different', /kernel different, .*: lanes of one mask meet at different instructions/],
  ['wild', /signal 11 in kernel wild/],
  ['trapping', /kernel trapping, .*: trap\n/],
] as const)
  test(`the kernel ${name} ends the process and says why`, { skip }, () => {
    const env = { ...process.env, KERNEL_TO_FAIL: `${name} ${folder}` };
    const done = spawnSync(process.execPath, [__filename], { env, encoding: 'utf8' });
    assert.notEqual(done.status, 0);
    assert.match(done.stderr, expected);
  });
