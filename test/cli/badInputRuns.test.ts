// Where a run's files go and where it goes on from: occupied, read-only, full and vanishing folders, damaged checkpoints,
// a run that another process holds. Each ends with one message and nothing half-written.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type BadInput, describeBadInput, type Workspace, workbench } from './badInput';

/** The finished run that cases of resuming start from. */
const run = 'runs/tale';
const newest = `${run}/checkpoints/step-2`;

async function prepare(at: Workspace): Promise<void> {
  const { code, err } = await workbench(at.train({ save_steps: 1 }));
  assert.equal(code, 0, err);
}

/** Resumes after the change. */
function resume(change: (at: Workspace) => void, settings: Record<string, unknown> = {}): BadInput['spoil'] {
  return (at) => {
    change(at);
    return at.train({ max_steps: 4, ...settings }, '--resume');
  };
}

/** Mounts a file system of its own below the workspace. */
function mount(at: Workspace, options: string): string {
  const path = at.at('disk');
  mkdirSync(path);
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'none', path]);
  assert.equal(status, 0, String(stderr));
  at.undo.push(() => spawnSync('umount', [path]));
  return path;
}

/** Tried once with a folder of its own, because root need not be allowed to either. */
function whyNoMount(): string | false {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'mounting needs root on Linux';
  const tried = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=4k', 'none', '/mnt']);
  return tried.status === 0 ? false : 'mounting is not permitted here';
}
const noMount = whyNoMount();

/** Fills a file system to its last byte. */
function fill(path: string): void {
  try {
    for (;;) appendFileSync(join(path, 'filling'), Buffer.alloc(4096));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
}

const cases: BadInput[] = [
  // Where the run goes.
  {
    name: 'an output_dir that is a file',
    spoil: (at) => at.train({ output_dir: 'train.jsonl' }),
    code: 'run-folder-occupied',
    says: /train\.jsonl is a file and is no run/,
    remedy: /output_dir/,
    human: true,
  },
  {
    name: 'an output_dir with foreign files',
    spoil: (at) => at.train({ output_dir: 'base' }),
    code: 'run-folder-occupied',
    says: /base holds other files \(config\.json/,
    remedy: /output_dir/,
  },
  {
    name: 'an output_dir below a file',
    spoil: (at) => at.train({ output_dir: 'train.jsonl/deep/run' }),
    code: 'not-a-folder',
    says: /train\.jsonl\/deep.*a file stands where a folder is needed/,
  },
  {
    name: 'an output_dir whose name is too long',
    spoil: (at) => at.train({ output_dir: 'x'.repeat(300) }),
    code: 'name-too-long',
    says: /x{300}.*longer than the file system allows/,
  },
  {
    name: 'an output_dir that is a dangling link',
    spoil: (at) => {
      symlinkSync('nowhere', at.at('out'));
      return at.train({ output_dir: 'out' });
    },
    code: 'run-folder-occupied',
    says: /out is a link to nothing/,
    skip: process.platform === 'win32' && 'links need rights here',
  },
  {
    name: 'a read-only folder',
    spoil: (at) => {
      mount(at, 'ro');
      return at.train({ output_dir: 'disk/run' });
    },
    code: 'folder-read-only',
    says: /disk\/run.*writing there is not allowed/,
    human: true,
    skip: noMount,
  },
  {
    name: 'a disk that is full from the start',
    spoil: (at) => {
      fill(mount(at, 'size=64k'));
      return at.train({ output_dir: 'disk/run' });
    },
    code: 'disk-full',
    says: /disk\/run.*full/,
    remedy: /Free some space/,
    skip: noMount,
  },
  {
    name: 'a disk that fills up at the first checkpoint',
    spoil: (at) => {
      mount(at, 'size=200k');
      return at.train({ output_dir: 'disk/run', r: 256, save_steps: 1 });
    },
    code: 'disk-full',
    says: /disk\/run(-2)?\/checkpoints\/step-1: .*full/,
    started: true,
    human: true,
    skip: noMount,
  },
  {
    name: 'a disk too small for a merged model',
    spoil: (at) => {
      mount(at, 'size=100k');
      const adapter = at.at(run, 'adapter');
      return ['merge', '--model', at.at('base'), '--adapter', adapter, '--out', at.at('disk', 'merged')];
    },
    code: 'disk-full',
    says: /disk\/merged.*full/,
    skip: noMount,
  },
  // Where a run goes on from.
  {
    name: 'resuming without a run',
    spoil: resume((at) => at.remove('runs')),
    code: 'run-missing',
    says: /no run in .*runs\/tale/,
    remedy: /without --resume/,
  },
  {
    name: 'resuming a run without a checkpoint',
    spoil: resume((at) => {
      at.remove(`${run}/checkpoints/step-1`);
      at.remove(newest);
    }),
    code: 'run-without-checkpoint',
    says: /runs\/tale ended before its first checkpoint/,
    human: true,
  },
  {
    name: 'a checkpoint whose progress is damaged',
    spoil: resume((at) => at.write(`${newest}/progress.json`, '{"version": 1, "st')),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: progress\.json/,
    remedy: /older checkpoint/,
  },
  {
    name: 'a checkpoint whose progress makes no sense',
    spoil: resume((at) => at.change(`${newest}/progress.json`, { step: -7, epoch: 1e15 })),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: progress\.json/,
  },
  {
    name: 'a checkpoint whose weights are cut off',
    spoil: resume((at) => {
      const name = `${newest}/adapter_model.safetensors`;
      at.write(name, at.bytes(name).subarray(0, -40));
    }),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: .*adapter_model\.safetensors.*40 are missing/s,
    remedy: /older checkpoint/,
    human: true,
  },
  {
    name: 'a checkpoint without optimizer state',
    spoil: resume((at) => at.remove(`${newest}/optimizer.safetensors`)),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: .*optimizer\.safetensors does not exist/,
  },
  {
    name: 'a checkpoint whose optimizer state has other tensors',
    spoil: resume((at) =>
      at.changeTensors(`${newest}/optimizer.safetensors`, (tensors) => {
        tensors.delete([...tensors.keys()][0]!);
      }),
    ),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: optimizer\.safetensors lacks/,
  },
  {
    name: 'a checkpoint whose optimizer state has other shapes',
    spoil: resume((at) =>
      at.changeTensors(`${newest}/optimizer.safetensors`, (tensors) => {
        const first = [...tensors.values()][0]!;
        first.shape = [1];
        first.data = Buffer.alloc(4);
      }),
    ),
    code: 'checkpoint-damaged',
    says: /step-2 cannot be resumed: .*optimizer\.safetensors.*\[1\]/s,
  },
  {
    name: 'resuming with another rank',
    spoil: resume(() => {}, { r: 8 }),
    code: 'resume-tensors-differ',
    says: /step-2 does not fit the recipe:.*lora_A\.weight.* is \[4, 32\] in the checkpoint and \[8, 32\]/s,
    remedy: /adapter settings of the interrupted run/,
  },
  {
    name: 'resuming with other modules',
    spoil: resume(() => {}, { target_modules: ['q_proj'] }),
    code: 'resume-tensors-differ',
    says: /v_proj.* is in the checkpoint, and the recipe does not train it/s,
  },
  {
    name: 'resuming a run that another process holds',
    spoil: resume((at) =>
      at.write(
        `${run}/run.lock`,
        JSON.stringify({ pid: process.pid, host: hostname(), started: null, token: 'x' }),
      ),
    ),
    code: 'run-locked',
    says: /Process \d+ on .* is training in this run already \(.*run\.lock\)/,
    remedy: /another output_dir/,
  },
  {
    name: 'resuming from a folder that is no checkpoint',
    spoil: (at) => at.train({ resume_from_checkpoint: 'base' }),
    code: 'checkpoint-not-of-run',
    says: /base is no checkpoint of a run/,
  },
  {
    name: 'a folder that vanishes during the run',
    spoil: (at) => {
      // The run's folder is taken away as soon as its log is there.
      const [folder, away] = [at.at('elsewhere'), `${at.folder}-gone`];
      const watch = setInterval(() => {
        if (existsSync(join(folder, 'events.jsonl'))) renameSync(folder, away);
      }, 2);
      at.undo.push(() => {
        clearInterval(watch);
        rmSync(away, { recursive: true });
      });
      return at.train({ output_dir: 'elsewhere', max_steps: 5000, save_steps: 20 });
    },
    code: 'folder-missing',
    says: /elsewhere\/.*does not exist, or vanished meanwhile/,
    remedy: /put back the disk/,
  },
];

describeBadInput('a bad place to write to or to go on from', cases, prepare);
