// The call `doctor`: what this machine can train on, tried with a real training step on each device.
import { cpus, totalmem } from 'node:os';
import { version } from '../../../package.json';
import type { Problem } from '../../protocol/errors';
import type { DoctorDevice, DoctorParams, DoctorResult, EngineHost } from '../../protocol/trainer';
import { thisMachineReport } from '../cuda/thisMachineReport';
import { UserError } from '../errors';
import { availableMemory } from '../estimate/availableMemory';
import { chooseDevice } from '../execution/device';
import { type TrialStep, trialStep } from '../execution/trialStep';
import { type DeviceChoice, type DeviceDescription, openRuntime } from '../session';

/** Names of the runtime's execution providers. */
const providers: Record<DeviceChoice['kind'], string> = {
  cpu: 'CPUExecutionProvider',
  cuda: 'CUDAExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
};
/** Largest relative difference to the CPU's loss: products are summed in another order elsewhere. */
const tolerance = 1e-3;

/** Tries every device, or the one asked for. Only a device word that is none raises; all else stands in the result. */
export async function doctor(params: DoctorParams, host: EngineHost): Promise<DoctorResult> {
  const asked = params.device === null ? undefined : chooseDevice(params.device);
  const { runtime, found, problem } = await look();
  const result = { version, node: process.version, platform: `${process.platform} ${process.arch}` };
  const cuda = await thisMachineReport({ verify: true });
  const machine = { cores: cpus().length, memoryBytes: totalmem(), cuda };
  if (runtime === null) {
    const device = nameOf(asked ?? { kind: 'cpu' });
    return {
      ...result,
      ...machine,
      runtime,
      devices: [{ ...absent(asked ?? { kind: 'cpu' }, problem), device }],
    };
  }

  const reference = await attempt({ kind: 'cpu' }, host);
  const devices: DoctorDevice[] = [];
  for (const choice of asked ? [asked] : toTry(found)) {
    if (choice.kind === 'cpu') devices.push(await described(choice, reference, reference));
    else if (choice.kind === 'webgpu' && !asked) devices.push(notTried(choice, found));
    else devices.push(await described(choice, await attempt(choice, host), reference));
  }
  return { ...result, ...machine, runtime, devices };
}

/** Loads the runtime and asks what it finds. */
async function look(): Promise<{
  runtime: string | null;
  found: DeviceDescription[];
  problem: Problem | null;
}> {
  try {
    const runtime = openRuntime({ device: { kind: 'cpu' } });
    const result = { runtime: runtime.versions.runtime, found: runtime.availableDevices(), problem: null };
    await runtime.close();
    return result;
  } catch (error) {
    return { runtime: null, found: [], problem: problemOf(error, 'cpu') };
  }
}

/** The CPU, every CUDA device found (or the first, to hear why there is none), WebGPU. */
function toTry(found: readonly DeviceDescription[]): DeviceChoice[] {
  const cuda = found.filter(({ kind }) => kind === 'cuda').map(({ kind, index }) => ({ kind, index }));
  return [
    { kind: 'cpu' },
    ...(cuda.length > 0 ? cuda : [{ kind: 'cuda' as const, index: 0 }]),
    { kind: 'webgpu' },
  ];
}

type Attempt = { opened: boolean; step: TrialStep | null; problem: Problem | null };

async function attempt(choice: DeviceChoice, host: EngineHost): Promise<Attempt> {
  const device = nameOf(choice);
  host.emit({
    type: 'progress',
    phase: 'compiling',
    message: `Trying a training step on ${device}`,
    fraction: null,
    time: new Date().toISOString(),
  });
  let opened = false;
  try {
    const runtime = openRuntime({ device: choice });
    opened = true;
    try {
      return { opened, step: await trialStep(runtime), problem: null };
    } finally {
      await runtime.close();
    }
  } catch (error) {
    return { opened, step: null, problem: problemOf(error, device) };
  }
}

async function described(
  choice: DeviceChoice,
  { opened, step, problem }: Attempt,
  reference: Attempt,
): Promise<DoctorDevice> {
  const device = nameOf(choice);
  const base = { device, provider: providers[choice.kind], available: opened };
  if (!step) return { ...base, memoryBytes: null, trainingStep: null, problem };
  const expected = reference.step?.loss;
  const agrees = expected === undefined || Math.abs(step.loss - expected) <= tolerance * Math.abs(expected);
  const ok = Number.isFinite(step.loss) && agrees;
  return {
    ...base,
    memoryBytes: choice.kind === 'cpu' ? totalmem() : await availableMemory(choice).catch(() => null),
    trainingStep: { ok, milliseconds: step.milliseconds, loss: step.loss },
    problem: ok
      ? null
      : {
          where: device,
          message: `computes a loss of ${step.loss} where the CPU has ${expected}`,
          remedy: `Do not train on ${device}; update its driver and try again.`,
        },
  };
}

/** WebGPU writes to standard error by itself where Vulkan is missing, so it is tried only when it is asked for. */
function notTried(choice: DeviceChoice, found: readonly DeviceDescription[]): DoctorDevice {
  const there = found.some(({ kind }) => kind === choice.kind);
  return absent(choice, {
    where: nameOf(choice),
    message: there ? 'is found, but was not tried' : 'was not found',
    remedy: 'Run doctor --device webgpu to try it.',
  });
}

function absent(choice: DeviceChoice, problem: Problem | null): DoctorDevice {
  const device = nameOf(choice);
  return {
    device,
    provider: providers[choice.kind],
    available: false,
    memoryBytes: null,
    trainingStep: null,
    problem,
  };
}

function nameOf({ kind, index }: DeviceChoice): string {
  return kind === 'cuda' ? `cuda:${index ?? 0}` : kind;
}

function problemOf(error: unknown, where: string): Problem {
  if (error instanceof UserError) return { where, message: error.message, remedy: error.remedy };
  return {
    where,
    message: error instanceof Error ? error.message : String(error),
    remedy: 'Please report this.',
  };
}
