// A file mapped read-only and the count of tensors that lie in it; the mapping ends with the last of them.
import { SessionError } from '../errors';
import type { MappedFile } from './contract';
import type { Block } from './hostMemory';
import { mapFileBytes } from './hostMemory';
import type { Pointer } from './ortApi';

export class Mapping implements MappedFile {
  private readonly block: Block;
  private holders = 1;
  private givenUp = false;

  /** @throws SessionError `file-unmappable`. */
  constructor(
    readonly path: string,
    private readonly onFreed: (mapping: Mapping) => void,
  ) {
    this.block = mapFileBytes(path);
  }

  get bytes(): number {
    return this.block.bytes;
  }

  get released(): boolean {
    return this.givenUp;
  }

  /** Address of a stretch of the file. @throws SessionError `mapping-out-of-range`, `released`. */
  addressOf(offset: number, bytes: number, what: string): Pointer {
    this.assertUsable();
    const inside = Number.isSafeInteger(offset) && offset >= 0 && offset + bytes <= this.bytes;
    if (inside) return this.block.address + BigInt(offset);
    throw new SessionError({
      code: 'mapping-out-of-range',
      message: `${what} has ${this.bytes} bytes; ${bytes} bytes at offset ${offset} do not lie in it.`,
      remedy: 'Check that the file is whole.',
    });
  }

  hold(): void {
    this.assertUsable();
    this.holders++;
  }

  letGo(): void {
    this.holders--;
    if (this.holders > 0) return;
    this.block.free();
    this.onFreed(this);
  }

  release(): void {
    this.assertUsable();
    this.givenUp = true;
    this.letGo();
  }

  private assertUsable(): void {
    if (!this.givenUp) return;
    throw new SessionError({
      code: 'released',
      message: `The mapping of ${this.path} was used after its release.`,
      remedy: 'Release a mapping only when nothing more is read from it.',
    });
  }
}
