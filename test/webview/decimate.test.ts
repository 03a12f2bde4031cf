// Decimation must lose no peak and stay within what a screen can show.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decimate, spaced } from '../../webview/run/decimate';

test('a short series comes back whole, without what is not finite', () => {
  const points = decimate([1, 2, 3], [5, Number.NaN, 7], 100);
  assert.deepEqual(points, [
    { x: 1, y: 5 },
    { x: 3, y: 7 },
  ]);
});

test('of 100,000 points every extreme, the first and the last stay, in order', () => {
  const xs = Array.from({ length: 100_000 }, (_, i) => i + 1);
  const ys = xs.map((x) => Math.sin(x / 1000));
  ys[77_777] = 50;
  ys[33_333] = -50;
  const points = decimate(xs, ys, 700);
  assert.ok(points.length <= 4 * 700);
  assert.deepEqual(points[0], { x: 1, y: ys[0] });
  assert.deepEqual(points.at(-1), { x: 100_000, y: ys.at(-1) });
  assert.ok(points.some(({ x, y }) => x === 77_778 && y === 50));
  assert.ok(points.some(({ x, y }) => x === 33_334 && y === -50));
  for (let i = 1; i < points.length; i++) assert.ok(points[i]!.x > points[i - 1]!.x);
});

test('a window shows only what lies in it', () => {
  const points = decimate([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 10, 2, 4);
  assert.deepEqual(
    points.map(({ x }) => x),
    [2, 3, 4],
  );
});

test('marks that would merge give way to the best and the last', () => {
  const marks = Array.from({ length: 1000 }, (_, i) => ({ at: i, keep: i === 345 }));
  const shown = spaced(marks, 9);
  assert.ok(shown.length > 90);
  assert.ok(shown.some(({ keep }) => keep));
  assert.equal(shown.at(-1)!.at, 999);
  for (let i = 1; i < shown.length; i++) assert.ok(shown[i]!.at - shown[i - 1]!.at >= 9);
  const few = [
    { at: 1, keep: false },
    { at: 40, keep: true },
  ];
  assert.deepEqual(spaced(few, 9), few);
  assert.deepEqual(spaced([], 9), []);
});
