// A Windows library file → its processor and the names of the libraries it imports. The file comes from outside: every
// offset and count is checked. Layout: Microsoft's "PE Format".
import { invalidLibrary, type LibraryHeader, type ReadAt } from './elf';

const machines: Readonly<Record<number, string>> = { 34404: 'x64', 43620: 'arm64' };
/** Of the optional header's table: imports, and imports that are loaded when first called. */
const directory = { imports: 1, delayed: 13 } as const;
const limits = { sections: 96, imports: 512, nameBytes: 260 } as const;

/** Reads a library's header through `read`. @throws SessionError `library-invalid`. */
export function parsePe(read: ReadAt, where: string): LibraryHeader {
  const fail = (what: string): never => {
    throw invalidLibrary(where, what);
  };
  const stub = read(0, 64);
  if (stub.toString('latin1', 0, 2) !== 'MZ') fail('it does not begin as a Windows library');
  const start = stub.readUInt32LE(60);
  const head = read(start, 24);
  if (head.readUInt32BE(0) !== 0x50450000) fail('it has no PE header');
  const arch = machines[head.readUInt16LE(4)] ?? `machine ${head.readUInt16LE(4)}`;
  const [sections, optionalBytes] = [head.readUInt16LE(6), head.readUInt16LE(20)];
  if (sections === 0 || sections > limits.sections) fail(`it has ${sections} sections`);
  const optional = read(start + 24, optionalBytes);
  if (optionalBytes < 112 || optional.readUInt16LE(0) !== 0x20b) fail('it is not a 64-bit library');
  const directories = Math.min(optional.readUInt32LE(108), 16);
  if (optionalBytes < 112 + directories * 8) fail('its table of directories is cut short');

  const table = read(start + 24 + optionalBytes, sections * 40);
  const offsetOf = (address: number): number => {
    for (let at = 0; at < table.length; at += 40) {
      const first = table.readUInt32LE(at + 12);
      const bytes = table.readUInt32LE(at + 16);
      if (address >= first && address < first + bytes) return table.readUInt32LE(at + 20) + address - first;
    }
    return fail(`the address ${address} lies outside its sections`);
  };
  const word = (address: number): string => {
    const offset = offsetOf(address);
    let text = '';
    while (text.length < limits.nameBytes) {
      const [byte = 0] = read(offset + text.length, 1);
      if (byte === 0) return text;
      text += String.fromCharCode(byte);
    }
    return fail('a name is longer than a file name can be');
  };

  const needed: string[] = [];
  const collect = (index: number, entryBytes: number, nameAt: number): void => {
    const address = index < directories ? optional.readUInt32LE(112 + index * 8) : 0;
    if (address === 0) return;
    const offset = offsetOf(address);
    for (let entry = 0; entry < limits.imports; entry++) {
      const name = read(offset + entry * entryBytes, entryBytes).readUInt32LE(nameAt);
      if (name === 0) return;
      needed.push(word(name));
    }
    fail(`it imports more than ${limits.imports} libraries`);
  };
  collect(directory.imports, 20, 12);
  collect(directory.delayed, 32, 4);
  return { arch, name: null, needed };
}
