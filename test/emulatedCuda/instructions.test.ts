// PTX instructions that the emulator of CUDA's kernels runs, each against exact arithmetic in plain JavaScript: integers and carries,
// every rounding, conversions at their edges, comparisons with what is no number.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { conversions, fromIntegers, manyIntegers } from './conversionRows';
import { floatOperands, floats } from './floatRows';
import { type InstructionRow, kinds, type Operands, rowsModule, U } from './instructionRows';
import { integerOperands, integers } from './integerRows';
import { Device, launchable } from './launches';

const skip = !launchable;
const tables: [string, InstructionRow[], () => Operands[]][] = [
  ['integers', integers, integerOperands],
  ...kinds.map((k): [string, InstructionRow[], () => Operands[]] => [
    `arithmetic_${k}`,
    floats[k]!,
    () => floatOperands(k),
  ]),
  ...kinds.map((k): [string, InstructionRow[], () => Operands[]] => [
    `conversions_${k}`,
    conversions[k]!,
    () => floatOperands(k),
  ]),
  ['conversions_integers', fromIntegers, manyIntegers],
];

const folder = mkdtempSync(join(tmpdir(), 'workbench-instructions-'));
let device: Device;
before(() => {
  if (skip) return;
  const modules = tables.map(([name, rows]) => [`${name}.ptx`, rowsModule(name, rows)]);
  device = Device.open(folder, Object.fromEntries(modules) as Record<string, string>);
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const [name, rows, operandsOf] of tables)
  test(`PTX instructions: ${name}`, { skip }, () => {
    const operands = operandsOf();
    const count = operands.length;
    const from = device.copyIn(BigUint64Array.from(operands.flat().map((v) => U(64, v))));
    const to = device.allocate(8 * rows.length * count);
    device.run(name, [Math.ceil(count / 128)], [128], [from, to, count]);
    const found = new BigUint64Array(device.copyOut(to, 8 * rows.length * count));
    const wrong: string[] = [];
    for (const [r, { text, expected, same: alike }] of rows.entries())
      for (const [k, own] of operands.entries()) {
        const [want, got] = [expected(own), found[r * count + k]!];
        if (got === want || alike?.(got, want)) continue;
        const hex = (v: bigint): string => v.toString(16);
        wrong.push(`${text} of ${own.map(hex).join(' ')}: ${hex(got)}, expected ${hex(want)}`);
        break;
      }
    assert.deepEqual(wrong, []);
  });
