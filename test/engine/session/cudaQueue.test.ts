// The order of calls to CUDA's runtime library, and what becomes of bytes under way: a library of our own stands in, whose stream
// does nothing until somebody waits for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LibraryHandle } from 'koffi';
import type { DType } from '../../../src/engine/dtype';
import { CudaQueue } from '../../../src/engine/session/cudaQueue';
import { type Block, copyBytes, reserve } from '../../../src/engine/session/hostMemory';
import { libraryPath, loadLibrary } from '../../../src/engine/session/library';
import { OrtApi, type Pointer } from '../../../src/engine/session/ortApi';
import { Pace } from '../../../src/engine/session/pace';
import { PinnedStaging } from '../../../src/engine/session/pinnedStaging';
import type { Place } from '../../../src/engine/session/transfers';
import { sessionError } from './cpuRuntime';

// Before any other library: koffi takes its configuration only then.
OrtApi.from(() => loadLibrary(libraryPath()));

/** Device memory is host memory here, which the queue reaches only through the library. */
function standIn() {
  const calls: string[] = [];
  const blocks: Block[] = [];
  const pinned: Block[] = [];
  let queue: (() => void)[] = [];
  let failing = 0;
  const stream = 77n;
  const later = (work: () => void) => {
    queue.push(work);
    return failing;
  };
  const drain = () => {
    for (const work of queue) work();
    queue = [];
    return failing;
  };
  const functions: Record<string, (...args: never[]) => unknown> = {
    cudaSetDevice: (index: number) => (index === 1 ? 0 : 101),
    cudaStreamCreateWithFlags: (out: [Pointer], flags: number) => {
      calls.push(`create ${flags}`);
      out[0] = stream;
      return 0;
    },
    cudaStreamDestroy: () => {
      calls.push('destroy');
      return 0;
    },
    cudaStreamSynchronize: (given: Pointer) => {
      assert.equal(given, stream);
      calls.push('wait');
      return drain();
    },
    cudaMemcpyAsync: (
      to: Pointer,
      from: Pointer | ArrayBufferView,
      bytes: number,
      kind: number,
      on: Pointer,
    ) => {
      assert.equal(on, stream);
      calls.push(`copy ${['', 'up', 'down', 'within'][kind]} ${bytes}`);
      if (!ArrayBuffer.isView(from)) return later(() => copyBytes(to, from, bytes));
      // CUDA has read pageable memory when it returns.
      const read = Uint8Array.from(new Uint8Array(from.buffer, from.byteOffset, bytes));
      return later(() => copyBytes(to, read, bytes));
    },
    cudaMemsetAsync: (at: Pointer, value: number, bytes: number) => {
      calls.push(`set ${value} ${bytes}`);
      return later(() => copyBytes(at, new Uint8Array(bytes).fill(value), bytes));
    },
    cudaMallocHost: (out: [Pointer], bytes: number) => {
      pinned.push(reserve(bytes));
      out[0] = pinned.at(-1)!.address;
      return 0;
    },
    cudaStreamBeginCapture: (on: Pointer, mode: number) => {
      assert.equal(on, stream);
      calls.push(`begin ${mode}`);
      return 0;
    },
    cudaStreamEndCapture: (_on: Pointer, out: [Pointer | null]) => {
      out[0] = failing === 0 ? 5n : null;
      return failing;
    },
    cudaGraphInstantiate: (out: [Pointer], graph: Pointer, flags: number) => {
      calls.push(`instantiate ${graph} ${flags}`);
      out[0] = 6n;
      return 0;
    },
    cudaGraphDestroy: (graph: Pointer) => {
      calls.push(`destroy ${graph}`);
      return 0;
    },
    cudaGraphLaunch: (graph: Pointer, on: Pointer) => {
      assert.equal(on, stream);
      calls.push(`launch ${graph}`);
      return 0;
    },
    cudaGraphExecDestroy: (graph: Pointer) => {
      calls.push(`free ${graph}`);
      return 0;
    },
    cudaGetLastError: () => {
      calls.push('forget error');
      return failing;
    },
    cudaFreeHost: (address: Pointer) => {
      pinned.find((block) => block.address === address)!.free();
      return 0;
    },
    cudaGetErrorString: (code: number) =>
      code === 2 ? 'out of memory' : 'an illegal memory access was encountered',
  };
  const library = {
    func: (name: string) =>
      Object.assign(functions[name]!, {
        async: (...args: unknown[]) => {
          const done = args.pop() as (error: unknown, result: unknown) => void;
          setImmediate(() => done(null, (functions[name] as (...rest: unknown[]) => unknown)(...args)));
        },
      }),
  } as unknown as LibraryHandle;
  const api = { make: (_name: string, value: Pointer) => value } as unknown as OrtApi;
  const queueOf = new CudaQueue(library, api, 1);
  const place = (bytes: number): Place => {
    blocks.push(reserve(bytes));
    return { value: blocks.at(-1)!.address, dtype: 'uint8' as DType, shape: [bytes], bytes };
  };
  return {
    queue: queueOf,
    place,
    calls,
    /** What lies on the device now, behind the queue's back. */
    peek: ({ value, bytes }: Place) => {
      const found = new Uint8Array(bytes);
      copyBytes(found, value, bytes);
      return [...found];
    },
    fail: (code: number) => {
      failing = code;
    },
  };
}

test('uploads take a copy at once, wait for nothing, and arrive in order', async () => {
  const { queue, place, calls, peek } = standIn();
  const at = place(4);
  const batch = Uint8Array.of(1, 2, 3, 4);
  queue.clear(at);
  queue.upload(at, batch);
  const first = new Uint8Array(4);
  queue.fetch(at, first);
  // The next batch goes into the same arrays, on the host and on the device.
  batch.set([5, 6, 7, 8]);
  queue.upload(at, batch);
  const second = new Uint8Array(4);
  queue.fetch(at, second);
  assert.deepEqual(peek(at), [0, 0, 0, 0]);
  assert.deepEqual([...first], [0, 0, 0, 0]);
  assert.equal(calls.includes('wait'), false);
  await queue.wait();
  assert.deepEqual([...first], [1, 2, 3, 4]);
  assert.deepEqual([...second], [5, 6, 7, 8]);
  assert.deepEqual(calls, [
    'create 0',
    'set 0 4',
    'copy up 4',
    'copy down 4',
    'copy up 4',
    'copy down 4',
    'wait',
  ]);
  queue.release();
  assert.deepEqual(calls.slice(-2), ['wait', 'destroy']);
});

test('copies on the device, downloads and large uploads', () => {
  const { queue, place, calls, peek } = standIn();
  const [from, to] = [place(5 << 20), place(5 << 20)];
  const data = new Uint8Array(5 << 20).fill(9);
  queue.upload(from, data);
  data.fill(0);
  queue.copy(from, to);
  const back = new Uint8Array(5 << 20);
  queue.download(to, back);
  assert.ok(back.every((value) => value === 9));
  assert.equal(peek(to)[17], 9);
  assert.deepEqual(calls.filter((call) => call === 'wait').length, 1);
  const empty = place(0);
  queue.upload(empty, new Uint8Array(0));
  queue.fetch(empty, new Uint8Array(0));
  queue.clear(empty);
  assert.equal(calls.length, 5);
  queue.release();
});

test('what begins during a wait is none of it', async () => {
  const { queue, place } = standIn();
  const at = place(1);
  queue.upload(at, Uint8Array.of(1));
  const early = new Uint8Array(1);
  queue.fetch(at, early);
  const waiting = queue.wait();
  queue.upload(at, Uint8Array.of(2));
  const late = new Uint8Array(1);
  queue.fetch(at, late);
  await waiting;
  assert.deepEqual([early[0], late[0]], [1, 0]);
  await queue.wait();
  assert.equal(late[0], 2);
  queue.release();
});

test('pinned memory is used again after a wait, and never while a copy may read it', () => {
  let next = 0n;
  const made: number[] = [];
  const staging = new PinnedStaging(
    {
      make: (bytes) => {
        made.push(bytes);
        next += 1n << 32n;
        return next;
      },
      free: () => {},
    },
    8 << 20,
  );
  const first = staging.take(1000)!;
  const second = staging.take(1)!;
  assert.equal(second.address - first.address, 1024n);
  const mark = staging.mark();
  const third = staging.take(4 << 20)!;
  assert.equal(staging.take(4 << 20), undefined);
  staging.free(mark);
  assert.notEqual(staging.take(1)!.address, first.address);
  staging.free(staging.mark());
  assert.equal(staging.take(1)!.address, first.address);
  assert.deepEqual(made, [4 << 20, 4 << 20]);
  assert.ok(staging.take(64 << 20, true));
  assert.equal(third.address, 2n << 32n);
});

test('a failure that comes late names what was under way; memory that is short is its own error', async () => {
  const { queue, fail } = standIn();
  const pace = new Pace(queue);
  pace.start('gradients');
  await pace.reach();
  pace.start('update');
  fail(700);
  await assert.rejects(pace.reach(), (error: unknown) => {
    assert.ok(error instanceof Error);
    assert.match(error.message, /illegal memory access.*Under way: update\./);
    return sessionError('device-failed')(error);
  });
  assert.equal(pace.waits, 2);
  fail(2);
  assert.throws(() => queue.waitNow(), sessionError('out-of-memory'));
  fail(0);
  queue.release();
});

test('a recording becomes an executable graph; one that failed is forgotten with its error', () => {
  const { queue, calls, fail } = standIn();
  calls.length = 0;
  queue.beginCapture();
  assert.equal(queue.endCapture(), 6n);
  queue.launch(6n);
  queue.freeGraph(6n);
  // 2: relaxed.
  assert.deepEqual(calls.splice(0), ['begin 2', 'instantiate 5 0', 'destroy 5', 'launch 6', 'free 6']);
  queue.beginCapture();
  fail(901);
  assert.equal(queue.endCapture(), null);
  assert.deepEqual(calls.splice(0), ['begin 2', 'forget error']);
  fail(0);
  queue.release();
});

test('two who wait for the same wait once', async () => {
  const { queue } = standIn();
  const pace = new Pace(queue);
  const number = pace.start('a');
  await Promise.all([pace.reach(number), pace.reach(number)]);
  assert.equal(pace.waits, 1);
  await pace.reach(number);
  assert.equal(pace.waits, 1);
  pace.fetchNow(() => {});
  assert.equal(pace.waits, 2);
  queue.release();
});
