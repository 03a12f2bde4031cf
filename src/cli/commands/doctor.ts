// doctor: what this machine can train on, tried with one real training step on each device. With --install-cuda it first
// installs CUDA's provider files; the step then runs in a process of its own, which finds them.
import { RecipeError, UserError } from '../../engine/errors';
import type { CudaReport, InstallCudaDocument, InstallCudaResult } from '../../protocol/cuda';
import type { DoctorDevice, DoctorResult } from '../../protocol/trainer';
import { callTrainer } from '../calls';
import { exitCodes, reportFailure } from '../failure';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';
import { formatBytes } from '../units';

export interface DoctorOptions {
  device?: string;
  installCuda?: boolean;
  from?: string;
  withLibraries?: boolean;
}

/** Returns the exit code. */
export async function doctor(options: DoctorOptions, terminal: Terminal): Promise<number> {
  if (options.installCuda) return installCuda(options, terminal);
  if (options.from !== undefined) {
    throw new RecipeError({
      code: 'usage',
      message: '--from says where --install-cuda takes the files from; --install-cuda is missing.',
      remedy: 'Add --install-cuda.',
    });
  }
  const result = await callTrainer('doctor', { device: options.device ?? null }, terminal, {
    onInterrupt: 'kill',
  });
  terminal.document(result);
  terminal.line(
    `LoRA Workbench ${result.version}, Node ${result.node}, ${result.platform}, ONNX Runtime ${result.runtime ?? 'does not load'}`,
  );
  terminal.line(`${result.cores} cores, ${formatBytes(result.memoryBytes)} of memory`);
  for (const device of result.devices) showDevice(device, terminal);
  if (result.cuda !== null) showReport(result.cuda, terminal);
  return exitCodes.ok;
}

function showDevice(
  { device, provider, available, memoryBytes, trainingStep, problem }: DoctorDevice,
  terminal: Terminal,
): void {
  const works = available && trainingStep?.ok === true;
  const mark = works
    ? terminal.style('green', 'works')
    : terminal.style('red', available ? 'fails' : 'absent');
  const memory = memoryBytes === null ? '' : `, ${formatBytes(memoryBytes)}`;
  const step =
    trainingStep === null ? '' : `, a training step took ${trainingStep.milliseconds.toFixed(0)} ms`;
  terminal.line(`  ${device} (${provider}): ${mark}${memory}${step}`);
  if (problem !== null) {
    terminal.line(`    ${printable(problem.where)}: ${printable(problem.message)}`);
    if (problem.remedy !== undefined) terminal.line(`    → ${printable(problem.remedy)}`);
  }
}

function showReport({ text }: CudaReport, terminal: Terminal): void {
  for (const line of text.split('\n')) terminal.line(printable(line));
}

async function installCuda(
  { device, from, withLibraries = false }: DoctorOptions,
  terminal: Terminal,
): Promise<number> {
  const progress = new TrainProgress(terminal);
  let installed: InstallCudaResult;
  try {
    installed = await callTrainer('installCuda', { from: from ?? null, libraries: withLibraries }, terminal, {
      onInterrupt: 'cancel',
      onEvent: (event) => progress.show(event),
    });
  } catch (cause) {
    if (!(cause instanceof UserError) || cause.code !== 'cancelled') throw cause;
    reportFailure(cause, terminal);
    return exitCodes.interrupted;
  }
  const megabytes = installed.files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
  terminal.line(
    installed.changed
      ? `Installed ${megabytes.toFixed(0)} MB from ${printable(installed.source)} in ${printable(installed.folder)}`
      : `The files are there already: ${printable(installed.folder)}`,
  );
  if (installed.libraries.length > 0) terminal.line(`Fetched ${printable(installed.libraries.join(', '))}`);
  showReport(installed.report, terminal);

  const tried = installed.report.ready ? await tryStep(device ?? 'cuda', terminal) : null;
  const missing = installed.report.parts.filter(({ state, optional }) => state !== 'ok' && !optional);
  const notTried =
    tried === null
      ? `The files are installed; no training step was tried on the GPU, because of: ${missing.map(({ name, detail }) => `${name} (${detail})`).join(', ')}.`
      : null;
  const document: InstallCudaDocument = { ...installed, device: tried, notTried };
  terminal.document(document);
  if (tried !== null) showDevice(tried, terminal);
  if (notTried !== null) terminal.line(terminal.style('yellow', printable(notTried)));
  return exitCodes.ok;
}

/** The step on the GPU beside the CPU's numbers. */
async function tryStep(device: string, terminal: Terminal): Promise<DoctorDevice | null> {
  const result: DoctorResult = await callTrainer('doctor', { device }, terminal, { onInterrupt: 'kill' });
  return result.devices[0] ?? null;
}
