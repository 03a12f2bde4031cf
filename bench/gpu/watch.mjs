// Runs a program while nvidia-smi samples the GPU, which sees both sides of a comparison with the same eyes.
import { spawn } from 'node:child_process';

const query = ['--query-gpu=memory.used,utilization.gpu', '--format=csv,noheader,nounits', '-lms', '100'];

/**
 * @returns {Promise<{status: number, stdout: string, stderr: string, peakMiB: number | null, idleMiB: number | null,
 *   utilization: number | null}>} memory of the whole card; the mean utilisation of the samples in which it worked
 */
export function watched(program, args, { device, timeoutSeconds, env }) {
  return new Promise((resolve) => {
    const samples = [];
    // Where there is no card nothing is sampled; the comparison itself still runs.
    const monitor =
      device === 'cpu' ? undefined : spawn('nvidia-smi', query, { stdio: ['ignore', 'pipe', 'ignore'] });
    monitor?.on('error', () => {});
    monitor?.stdout.on('data', (text) => {
      for (const line of String(text).trim().split('\n')) {
        const [used, busy] = line.split(',').map(Number);
        if (Number.isFinite(used)) samples.push({ used, busy });
      }
    });
    const child = spawn(program, args, { env: { ...process.env, ...env }, timeout: timeoutSeconds * 1000 });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    const done = (status) => {
      monitor?.kill();
      const busy = samples.map((one) => one.busy).filter((value) => value > 0);
      resolve({
        status,
        stdout,
        stderr,
        peakMiB: samples.length ? Math.max(...samples.map((one) => one.used)) : null,
        idleMiB: samples[0]?.used ?? null,
        utilization: busy.length ? busy.reduce((sum, value) => sum + value, 0) / busy.length : null,
      });
    };
    child.on('error', (error) => {
      stderr += error.message;
      done(-1);
    });
    child.on('close', (status) => done(status ?? -1));
  });
}
