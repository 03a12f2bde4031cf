// doctor: what this machine can train on, tried with one real training step on each device.
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';
import { formatBytes } from '../units';

export async function doctor(options: { device?: string }, terminal: Terminal): Promise<number> {
  const result = await callTrainer('doctor', { device: options.device ?? null }, terminal, {
    onInterrupt: 'kill',
  });
  terminal.document(result);
  terminal.line(
    `LoRA Workbench ${result.version}, Node ${result.node}, ${result.platform}, ONNX Runtime ${result.runtime ?? 'does not load'}`,
  );
  terminal.line(`${result.cores} cores, ${formatBytes(result.memoryBytes)} of memory`);
  for (const { device, provider, available, memoryBytes, trainingStep, problem } of result.devices) {
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
  return exitCodes.ok;
}
