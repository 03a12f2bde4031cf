// Writes one member of an archive to disk: counted against what it says, hashed, searched for a word on the way.
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SessionError } from '../errors';
import { diskError } from '../files/diskErrors';
import { archiveError, type Member } from './archive';

/** Writes a member, counted and hashed on the way; `holdsMark` where the file holds `mark` as a C string. */
export async function copyMember(
  member: Member,
  target: string,
  mark: string,
  signal: AbortSignal,
): Promise<{ bytes: number; sha256: string; holdsMark: boolean }> {
  const hash = createHash('sha256');
  const wanted = Buffer.from(`\0${mark}\0`);
  let [bytes, holdsMark, tail] = [0, false, Buffer.alloc(0) as Buffer];
  const watch = new Transform({
    transform(piece: Buffer, _encoding, done) {
      bytes += piece.length;
      hash.update(piece);
      if (!holdsMark) {
        const joint = Buffer.concat([tail, piece]);
        holdsMark = joint.includes(wanted);
        tail = joint.subarray(Math.max(0, joint.length - wanted.length));
      }
      if (bytes > member.bytes)
        done(archiveError('archive-too-large', `${member.path} holds more than it says.`));
      else done(null, piece);
    },
  });
  try {
    await pipeline(await member.open(), watch, createWriteStream(target, { mode: 0o755 }), { signal });
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    const disk = diskError(cause, target, 'write');
    if (disk !== cause || cause instanceof SessionError) throw disk;
    throw archiveError(
      'archive-damaged',
      `${member.path} cannot be unpacked: ${(cause as Error).message}.`,
      cause,
    );
  }
  if (bytes !== member.bytes)
    throw archiveError('archive-damaged', `${member.path} has ${bytes} bytes, expected ${member.bytes}.`);
  return { bytes, sha256: hash.digest('hex'), holdsMark };
}
