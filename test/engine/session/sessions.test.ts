// Sessions of the CPU device: binding, in-place state, sharing, cancelling, refusals.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Runtime, Session } from '../../../src/engine/session';
import { openRuntime } from '../../../src/engine/session';
import { onCpu, sessionError } from './cpuRuntime';
import { binaryModel, longModel, tinyModel } from './tinyModel';

test('a model adds, and again with other data and another tensor', async () => {
  await onCpu(async (runtime) => {
    const x = runtime.fromHost('float32', [3], Float32Array.of(1, 2, 3));
    const w = runtime.fromHost('float32', [3], Float32Array.of(10, 20, 30));
    const y = runtime.allocate('float32', [3]);
    const session = await runtime.createSession(binaryModel('Add', [3]));
    session.bindInput('x', x);
    session.bindInput('w', w);
    session.bindOutput('y', y);
    await session.run();
    assert.deepEqual(runtime.read(y), Float32Array.of(11, 22, 33));
    runtime.write(x, Float32Array.of(0, 0, 1));
    await session.run();
    assert.deepEqual(runtime.read(y), Float32Array.of(10, 20, 31));
    session.bindInput('w', x);
    await session.run();
    assert.deepEqual(runtime.read(y), Float32Array.of(0, 0, 2));
  });
});

test('matrix products over several threads are right', async () => {
  await onCpu(
    async (runtime) => {
      const n = 64;
      const x = runtime.fromHost(
        'float32',
        [n, n],
        Float32Array.from({ length: n * n }, (_, i) => (i % 7) - 3),
      );
      const shift = new Float32Array(n * n);
      for (let i = 0; i < n; i++) shift[i * n + ((i + 1) % n)] = 1;
      const session = await runtime.createSession(longModel(n, n));
      const y = runtime.allocate('float32', [n, n]);
      session.bindInput('x', x);
      session.bindInput('w', runtime.fromHost('float32', [n, n], shift));
      session.bindOutput('y', y);
      await session.run();
      // n cyclic shifts of the columns are the identity.
      assert.deepEqual(runtime.read(y), runtime.read(x));
    },
    { threads: 2, spinning: false },
  );
});

test('state bound as input and output is updated in place', async () => {
  await onCpu(async (runtime) => {
    const state = runtime.fromHost('float32', [2], Float32Array.of(1, 2));
    const gradient = runtime.fromHost('float32', [2], Float32Array.of(0.5, -1));
    const session = await runtime.createSession(binaryModel('Add', [2]));
    session.bindInput('x', state);
    session.bindInput('w', gradient);
    session.bindOutput('y', state);
    for (let step = 0; step < 4; step++) await session.run();
    assert.deepEqual(runtime.read(state), Float32Array.of(3, -2));
  });
});

test('two sessions share a tensor, which lives until the last of them lets it go', async () => {
  await onCpu(async (runtime) => {
    const w = runtime.fromHost('float32', [2], Float32Array.of(3, 4));
    const sessions: Session[] = [];
    const results = [];
    for (const op of ['Add', 'Mul']) {
      const session = await runtime.createSession(binaryModel(op, [2]));
      const y = runtime.allocate('float32', [2]);
      session.bindInput('x', w);
      session.bindInput('w', w);
      session.bindOutput('y', y);
      sessions.push(session);
      results.push(y);
    }
    w.release();
    assert.throws(() => sessions[0]?.bindInput('x', w), sessionError('released'));
    await Promise.all(sessions.map((session) => session.run()));
    assert.deepEqual(
      results.map((y) => [...(runtime.read(y) as Float32Array)]),
      [
        [6, 8],
        [9, 16],
      ],
    );
    assert.equal(runtime.memory().tensorBytes, 24);
    sessions[0]?.release();
    assert.equal(runtime.memory().tensorBytes, 24);
    sessions[1]?.release();
    assert.equal(runtime.memory().tensorBytes, 16);
  });
});

async function longSession(runtime: Runtime, products = 3000) {
  const n = 96;
  const tensor = () => runtime.allocate('float32', [n, n]);
  const bound = { x: tensor(), w: tensor(), y: tensor() };
  const session = await runtime.createSession(longModel(n, products));
  session.bindInput('x', bound.x);
  session.bindInput('w', bound.w);
  session.bindOutput('y', bound.y);
  return { session, n, ...bound };
}

test('a run leaves the event loop free', async () => {
  await onCpu(async (runtime) => {
    const { session } = await longSession(runtime);
    let ticks = 0;
    const tick = () => {
      ticks++;
      if (session.running) setImmediate(tick);
    };
    const run = session.run();
    setImmediate(tick);
    await run;
    assert.ok(ticks > 20, `${ticks} turns of the event loop during the run`);
  });
});

test('a cancelled run ends early, says so, and the session runs again', async () => {
  await onCpu(async (runtime) => {
    const { session, x, w, y, n } = await longSession(runtime);
    session.cancel();
    for (const wait of [false, true]) {
      const run = session.run();
      if (wait) await new Promise((resolve) => setImmediate(resolve));
      session.cancel();
      await assert.rejects(run, sessionError('run-cancelled'));
      assert.equal(session.running, false);
    }
    const identity = new Float32Array(n * n);
    for (let i = 0; i < n; i++) identity[i * n + i] = 1;
    runtime.write(w, identity);
    runtime.write(x, new Float32Array(n * n).fill(2));
    await session.run();
    assert.equal(runtime.view(y).at(-1), 2);
  });
});

test('while a run goes on, what would race with it is refused', async () => {
  await onCpu(async (runtime) => {
    const { session, x, y, n } = await longSession(runtime);
    const other = await longSession(runtime, 1);
    other.session.bindOutput('y', x);
    const run = session.run();
    const busy = sessionError('session-busy');
    await assert.rejects(session.run(), busy);
    assert.throws(() => session.bindInput('x', y), busy);
    assert.throws(() => session.release(), busy);
    const tensorBusy = sessionError('tensor-busy', /float32\[96, 96\]/);
    assert.throws(() => runtime.write(x, new Float32Array(n * n)), tensorBusy);
    assert.throws(() => runtime.read(y), tensorBusy);
    await assert.rejects(other.session.run(), tensorBusy);
    assert.equal(runtime.read(x).length, n * n);
    session.cancel();
    await assert.rejects(run, sessionError('run-cancelled'));
    runtime.write(x, new Float32Array(n * n));
    await other.session.run();
  });
});

test('closing during a run cancels it and frees everything once', async () => {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1 });
  const { session, x } = await longSession(runtime);
  const run = assert.rejects(session.run(), sessionError('run-cancelled'));
  const opening = runtime.createSession(binaryModel('Add', [1]));
  const lost = assert.rejects(opening, sessionError('released'));
  await runtime.close();
  await Promise.all([run, lost, runtime.close()]);
  assert.throws(() => runtime.allocate('float32', [1]), sessionError('released'));
  assert.throws(() => session.cancel(), sessionError('released'));
  assert.equal(x.released, true);
});

test('models and bindings that do not fit are refused with names', async () => {
  await onCpu(async (runtime) => {
    const rejected = sessionError('model-rejected');
    await assert.rejects(runtime.createSession(new Uint8Array(0)), rejected);
    await assert.rejects(
      runtime.createSession(Uint8Array.from({ length: 500 }, (_, i) => (i * 37) % 251)),
      rejected,
    );
    await assert.rejects(
      runtime.createSession(binaryModel('NoSuchOperator', [1])),
      sessionError('model-rejected', /NoSuchOperator/),
    );

    const session = await runtime.createSession(binaryModel('Add', [2, 'n']));
    const good = runtime.allocate('float32', [2, 5]);
    assert.throws(() => session.bindInput('z', good), sessionError('name-unknown', /input z; it has x, w/));
    assert.throws(() => session.bindOutput('x', good), sessionError('name-unknown', /output x; it has y/));
    const mismatch = sessionError('binding-mismatch', /x is float32\[2, n\]; the bound tensor is/);
    for (const bad of [
      runtime.allocate('float32', [3, 5]),
      runtime.allocate('float32', [2]),
      runtime.allocate('int32', [2, 5]),
    ]) {
      assert.throws(() => session.bindInput('x', bad), mismatch);
    }
    await assert.rejects(session.run(), sessionError('input-unbound', /x, w/));
    session.bindInput('x', good);
    session.bindInput('w', good);
    await assert.rejects(session.run(), sessionError('output-unbound', /y/));
    // A symbol that takes two values is found by the run itself, and harms nothing.
    session.bindInput('w', runtime.allocate('float32', [2, 4]));
    session.bindOutput('y', good);
    await assert.rejects(session.run(), sessionError('runtime-failed'));
    session.bindInput('w', good);
    session.bindOutput('y', runtime.allocate('float32', [2, 5]));
    await session.run();
    session.release();
    for (const use of [() => session.bindInput('x', good), () => session.cancel(), () => session.release()]) {
      assert.throws(use, sessionError('released'));
    }
    await assert.rejects(session.run(), sessionError('released'));
  });
});

test('symbolic dimensions can be fixed', async () => {
  await onCpu(async (runtime) => {
    const session = await runtime.createSession(binaryModel('Add', ['batch', 2]), {
      dimensions: { batch: 3 },
    });
    assert.deepEqual(session.outputs, [{ name: 'y', dtype: 'float32', shape: [3, 2] }]);
  });
});

test('only what is asked for differs: assignments, profile, optimizers', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'session-'));
  t.after(() => rmSync(folder, { recursive: true }));
  // Twice the same sum, which common-subexpression elimination would merge; and a constant that folding would compute.
  const model = tinyModel({
    nodes: [
      { op: 'Add', inputs: ['x', 'c'], outputs: ['a'] },
      { op: 'Add', inputs: ['x', 'c'], outputs: ['b'] },
      { op: 'Neg', inputs: ['c'], outputs: ['d'] },
      { op: 'Mul', inputs: ['a', 'b'], outputs: ['ab'] },
      { op: 'Mul', inputs: ['ab', 'd'], outputs: ['y'] },
    ],
    inputs: [{ name: 'x', shape: [2] }],
    outputs: [{ name: 'y', shape: [2] }],
    constants: [{ name: 'c', dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) }],
  });
  await onCpu(async (runtime) => {
    const run = async (options: Parameters<Runtime['createSession']>[1]) => {
      const session = await runtime.createSession(model, { recordAssignments: true, ...options });
      const y = runtime.allocate('float32', [2]);
      session.bindInput('x', runtime.fromHost('float32', [2], Float32Array.of(1, 2)));
      session.bindOutput('y', y);
      await session.run();
      assert.deepEqual(runtime.read(y), Float32Array.of(-4, -32));
      return session;
    };
    const kept = (await run({ profilePrefix: join(folder, 'profile') })) as Session;
    const operators = (session: Session) =>
      session
        .nodeAssignments()
        .map((node) => node.operator)
        .sort();
    assert.deepEqual(operators(kept), ['Add', 'Add', 'Mul', 'Mul', 'Neg']);
    assert.ok(kept.nodeAssignments().every((node) => node.provider === 'CPUExecutionProvider'));
    const profile = kept.endProfiling();
    assert.ok(profile.startsWith(folder) && existsSync(profile), profile);
    const rewritten = await run({ disabledOptimizers: [], memoryPattern: true, prepacking: true });
    assert.deepEqual(operators(rewritten), ['Add', 'Mul', 'Mul']);
    assert.throws(() => rewritten.endProfiling(), /profilePrefix/);
  });
});

test('constants may lie in a file beside the model', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'session-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(
    join(folder, 'weights.bin'),
    Buffer.concat([Buffer.alloc(5), Buffer.from(Float32Array.of(2, 3).buffer)]),
  );
  const model = tinyModel({
    nodes: [{ op: 'Mul', inputs: ['x', 'c'], outputs: ['y'] }],
    inputs: [{ name: 'x', shape: [2] }],
    outputs: [{ name: 'y', shape: [2] }],
    constants: [
      { name: 'c', dtype: 'float32', shape: [2], data: { location: 'weights.bin', offset: 5, length: 8 } },
    ],
  });
  await onCpu(async (runtime) => {
    await assert.rejects(runtime.createSession(model), sessionError('model-rejected'));
    const session = await runtime.createSession(model, { externalDataFolder: folder });
    const x = runtime.fromHost('float32', [2], Float32Array.of(10, 10));
    session.bindInput('x', x);
    session.bindOutput('y', x);
    await session.run();
    assert.deepEqual(runtime.read(x), Float32Array.of(20, 30));
  });
});
