// A library file of either system → what it needs, told by its first bytes.
import { type LibraryHeader, parseElf, withLibraryFile } from './elf';
import { parsePe } from './pe';

/** @throws SessionError `library-invalid`. */
export function readLibraryHeader(path: string): LibraryHeader {
  return withLibraryFile(path, (read, where) =>
    read(0, 2).toString('latin1') === 'MZ' ? parsePe(read, where) : parseElf(read, where),
  );
}
