// The form's verdict on memory: of the device, and of system memory beside it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryForecast } from '../../src/protocol/panels/configure';
import { isOver, isOverOnDevice, verdictText, workspaceNote } from '../../webview/configure/verdict';

const gib = 2 ** 30;
const of = (given: Partial<MemoryForecast>): MemoryForecast => ({
  exact: true,
  parts: null,
  totalBytes: 6 * gib,
  hostBytes: 2 * gib,
  availableBytes: 8 * gib,
  availableHostBytes: 4 * gib,
  context: null,
  device: 'cuda:0',
  trainableParameters: 1,
  suggestions: null,
  tookMs: 1,
  ...given,
});

test('a run fits where both places have room', () => {
  assert.equal(verdictText(of({})), 'Fits, 2.0 GiB to spare');
  assert.equal(isOver(of({})), false);
  // On the CPU there is one place.
  assert.equal(isOver(of({ hostBytes: 0, availableHostBytes: null })), false);
});

test('what does not fit names the place', () => {
  const device = of({ availableBytes: 5 * gib });
  assert.equal(verdictText(device), 'Over by 1.0 GiB');
  const system = of({ availableHostBytes: gib });
  assert.equal(verdictText(system), 'Over by 1.0 GiB in system memory');
  assert.deepEqual([isOver(system), isOverOnDevice(system)], [true, false]);
  const both = of({ availableBytes: 5 * gib, availableHostBytes: gib });
  assert.equal(verdictText(both), 'Over by 1.0 GiB on cuda:0; Over by 1.0 GiB in system memory');
  assert.ok(isOver(both));
});

test('a device that tells nothing is no reason against a run, system memory still is', () => {
  const unknown = of({ availableBytes: null });
  assert.equal(verdictText(unknown), 'Free memory of cuda:0 unknown');
  assert.equal(isOver(unknown), false);
  const over = of({ availableBytes: null, availableHostBytes: gib });
  assert.equal(verdictText(over), 'Over by 1.0 GiB in system memory');
  assert.ok(isOver(over));
});

test('CUDA’s own part says how it is known', () => {
  assert.equal(workspaceNote(of({})), undefined);
  const bytes = 300 * 2 ** 20;
  assert.match(workspaceNote(of({ context: { bytes, measured: true } }))!, /300.*MiB, measured here$/);
  assert.match(workspaceNote(of({ context: { bytes, measured: false } }))!, /estimated until a run measures/);
});
