// TensorBoard's event files, byte for byte as TensorBoard's own writer makes them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32c, eventRecord, TensorboardWriter } from '../../../src/engine/run/tensorboard';
import type { RunEvent } from '../../../src/protocol/run';

// Written by tensorboard.summary.writer.record_writer.RecordWriter (tensorboard 2.21) from these two events:
//   Event(wall_time=1700000000.25, file_version="brain.Event:2")
//   Event(wall_time=1700000001.5, step=300, summary=Summary(value=[
//     Value(tag="train/loss", simple_value=2.5), Value(tag="train/learning_rate", simple_value=2e-4)]))
const golden = Buffer.from(
  'GAAAAAAAAACjf0siCQAAEED8VNlBGg1icmFpbi5FdmVudDoyM40v6T0AAAAAAAAAYEnx7AkAAGBA/FTZQRCsAiovChEKCnRyYWluL2xvc3MVAAAgQAoaChN0cmFpbi9sZWFybmluZ19yYXRlFRe3UTnFJeP5',
  'base64',
);

test('CRC-32C has the check value of its definition', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
});

test("writes TensorBoard's own bytes", () => {
  const ours = Buffer.concat([
    eventRecord(1700000000.25, { fileVersion: 'brain.Event:2' }),
    eventRecord(1700000001.5, { step: 300, scalars: { 'train/loss': 2.5, 'train/learning_rate': 2e-4 } }),
  ]);
  assert.deepEqual(ours, golden);
});

/** Reads a record file's payloads; checks lengths only, the checksums are covered above. */
function payloads(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    found.push(bytes.subarray(at + 12, at + 12 + length));
    at += 16 + length;
  }
  return found;
}

test('writes a record for each step and evaluation, none for the rest', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tensorboard-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const time = '2026-01-02T03:04:05.000Z';
  const writer = TensorboardWriter.open(folder);
  const step: RunEvent = {
    type: 'step',
    step: 1,
    epoch: 0.5,
    loss: 2,
    learningRate: 1e-4,
    gradNorm: 0.5,
    tokens: 8,
    tokensPerSecond: 9,
    peakMemoryBytes: 10,
    etaSeconds: null,
    time,
  };
  writer.add(step);
  writer.add({ ...step, step: 2, gradNorm: null });
  writer.add({ type: 'eval', step: 2, epoch: 1, loss: 1.5, perplexity: 4.5, tokens: 8, best: true, time });
  writer.add({ type: 'note', message: 'n', time });
  writer.close();
  assert.match(writer.path, /events\.out\.tfevents\.\d+\./);
  const texts = payloads(readFileSync(writer.path)).map((payload) => payload.toString('latin1'));
  assert.equal(texts.length, 4);
  assert.match(texts[0]!, /brain\.Event:2/);
  assert.match(texts[1]!, /train\/loss/);
  assert.match(texts[1]!, /train\/grad_norm/);
  assert.doesNotMatch(texts[2]!, /grad_norm/);
  assert.match(texts[3]!, /eval\/loss/);
  const second = TensorboardWriter.open(folder);
  second.close();
  assert.notEqual(second.path, writer.path);
});
