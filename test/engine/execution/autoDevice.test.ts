// `device: auto`: the CUDA device that opens and has most room, else the CPU, and why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceUse } from '../../../src/engine/cuda/deviceUse';
import { SessionError } from '../../../src/engine/errors';
import { findDevice, settleDevice } from '../../../src/engine/execution/autoDevice';
import { settled } from '../../../src/trainer/settle';

const gpu = (index: number, free: number): DeviceUse => ({
  index,
  uuid: `GPU-${index}`,
  name: `Card ${index}`,
  memoryTotalBytes: 80 * 2 ** 30,
  memoryUsedBytes: 0,
  memoryFreeBytes: free * 2 ** 30,
  utilization: 0,
  split: false,
});

function probe(devices: DeviceUse[], broken: readonly number[]) {
  const tried: (number | undefined)[] = [];
  let open = 0;
  return {
    tried,
    stillOpen: () => open,
    devices: async () => devices,
    open: ({ device }: { device: { index?: number } }) => {
      tried.push(device.index);
      if (broken.includes(device.index!)) {
        throw new SessionError({
          code: 'device-unavailable',
          message: `The device cuda:${device.index} cannot be opened: no provider.`,
          remedy: '',
        });
      }
      open++;
      return {
        close: async () => {
          open--;
        },
      };
    },
  };
}

test('the device with most free memory is taken, proven by opening it, and closed again', async () => {
  const machine = probe([gpu(0, 3), gpu(1, 40), gpu(2, 20)], []);
  assert.deepEqual(await findDevice(machine), {
    device: 'cuda:1',
    note: 'device: auto takes cuda:1 (Card 1, 40.0 GiB free).',
  });
  assert.deepEqual(machine.tried, [1]);
  assert.equal(machine.stillOpen(), 0);
});

test('a device that does not open is passed over; where none opens the CPU is taken, with the reason', async () => {
  const one = probe([gpu(0, 3), gpu(1, 40)], [1]);
  assert.equal((await findDevice(one)).device, 'cuda:0');
  const none = probe([], [0]);
  assert.deepEqual(await findDevice(none), {
    device: 'cpu',
    note: 'device: auto takes the CPU. The device cuda:0 cannot be opened: no provider.',
  });
  assert.deepEqual(none.tried, [0]);
});

test('a named device is left alone', async () => {
  assert.deepEqual(await settleDevice('cuda:7'), { device: 'cuda:7', note: null });
});

test('a call hears which device it has; on the CPU its recipe keeps the word', async () => {
  const cuda = async () => ({ device: 'cuda:1', note: 'why' });
  const cpu = async () => ({ device: 'cpu', note: 'why' });
  const params = { recipe: { device: 'auto' }, notes: ['first'] } as never;
  assert.deepEqual(await settled(params, cuda), { recipe: { device: 'cuda:1' }, notes: ['first', 'why'] });
  assert.deepEqual(await settled(params, cpu), { recipe: { device: 'auto' }, notes: ['first', 'why'] });
  assert.deepEqual(await settled({ device: 'auto' } as never, cuda), { device: 'cuda:1' });
  const named = { recipe: { device: 'cpu' }, notes: [] } as never;
  assert.equal(await settled(named, cuda), named);
});
