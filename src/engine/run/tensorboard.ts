// A run's curves as a TensorBoard event file: scalars in TFRecord framing. Append only; a torn last record is skipped by
// TensorBoard. It knows events and nothing of training.
import { closeSync, openSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import type { RunEvent } from '../../protocol/run';
import { diskError } from '../files/diskErrors';

// tensorflow/core/util/event.proto and framework/summary.proto, the fields that scalars need.
const types = protobuf.Root.fromJSON({
  nested: {
    Event: {
      fields: {
        wallTime: { type: 'double', id: 1 },
        step: { type: 'int64', id: 2 },
        fileVersion: { type: 'string', id: 3 },
        summary: { type: 'Summary', id: 5 },
      },
    },
    Summary: { fields: { value: { rule: 'repeated', type: 'Value', id: 1 } } },
    Value: { fields: { tag: { type: 'string', id: 1 }, simpleValue: { type: 'float', id: 2 } } },
  },
});
const eventType = types.lookupType('Event');

/** CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as TFRecord uses it. */
const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C of `bytes`. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord's masking: rotated right by 15 and shifted by a constant. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One TFRecord: length (uint64), its masked CRC, the data, its masked CRC; little endian. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(16 + data.byteLength);
  record.writeBigUInt64LE(BigInt(data.byteLength), 0);
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc(data), 12 + data.byteLength);
  return record;
}

/** One event as a record: the file's version, or scalars of a step. `wallTime` is in seconds. */
export function eventRecord(
  wallTime: number,
  content: { fileVersion: string } | { step: number; scalars: Readonly<Record<string, number>> },
): Uint8Array {
  const message =
    'fileVersion' in content
      ? { wallTime, fileVersion: content.fileVersion }
      : {
          wallTime,
          step: content.step,
          summary: {
            value: Object.entries(content.scalars).map(([tag, simpleValue]) => ({ tag, simpleValue })),
          },
        };
  return tfRecord(eventType.encode(eventType.create(message)).finish());
}

/** The scalars of an event, with the HF Trainer's tags; undefined for events without. */
export function scalarsOf(event: RunEvent): { step: number; scalars: Record<string, number> } | undefined {
  if (event.type === 'step') {
    const scalars: Record<string, number> = {
      'train/loss': event.loss,
      'train/learning_rate': event.learningRate,
      'train/epoch': event.epoch,
      'train/tokens_per_second': event.tokensPerSecond,
      'train/peak_memory_bytes': event.peakMemoryBytes,
    };
    if (event.gradNorm !== null) scalars['train/grad_norm'] = event.gradNorm;
    return { step: event.step, scalars };
  }
  if (event.type === 'eval') {
    return { step: event.step, scalars: { 'eval/loss': event.loss, 'eval/perplexity': event.perplexity } };
  }
  return undefined;
}

/** Writes one event file of a run. A resumed run starts another; TensorBoard shows them as one. */
export class TensorboardWriter {
  private constructor(
    readonly path: string,
    private readonly file: number,
  ) {}

  static open(folder: string, now: Date = new Date()): TensorboardWriter {
    const seconds = Math.floor(now.getTime() / 1000);
    const host = hostname().replaceAll(/[^\w.-]/g, '_');
    for (let number = 0; ; number++) {
      const path = join(folder, `events.out.tfevents.${seconds}.${host}.${process.pid}.${number}`);
      try {
        const writer = new TensorboardWriter(path, openSync(path, 'ax'));
        writer.write(eventRecord(now.getTime() / 1000, { fileVersion: 'brain.Event:2' }));
        return writer;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(cause, path, 'write');
      }
    }
  }

  /** Adds the scalars of an event, if it has any. */
  add(event: RunEvent): void {
    const content = scalarsOf(event);
    if (content !== undefined) this.write(eventRecord(Date.parse(event.time) / 1000, content));
  }

  close(): void {
    closeSync(this.file);
  }

  private write(record: Uint8Array): void {
    try {
      for (let done = 0; done < record.byteLength; ) done += writeSync(this.file, record, done);
    } catch (cause) {
      throw diskError(cause, this.path, 'write');
    }
  }
}
