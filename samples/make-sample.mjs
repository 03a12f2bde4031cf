// Remakes all of samples/: tokenizer, datasets and configuration from seeds, then the base model's weights by this project's own
// full fine-tuning from random weights. `--data-only` stops before the training.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generationConfig, modelConfig, randomWeights } from './checkpoint.mjs';
import { committedFiles, pretrainingFiles } from './sampleFiles.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));

function write(path, content) {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  console.log(`  ${path}  ${(Buffer.byteLength(content) / 1024).toFixed(0)} KiB`);
}

console.log('Text, tokenizer and datasets from their seeds:');
for (const [path, content] of Object.entries({ ...committedFiles(), ...pretrainingFiles() }))
  write(path, content);
if (process.argv.includes('--data-only')) process.exit(0);

console.log('A model with random weights:');
for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
  mkdirSync(join(root, 'build/sample/random'), { recursive: true });
  copyFileSync(join(root, 'samples/base', name), join(root, 'build/sample/random', name));
}
write('build/sample/random/config.json', `${JSON.stringify(modelConfig, null, 2)}\n`);
write('build/sample/random/generation_config.json', `${JSON.stringify(generationConfig, null, 2)}\n`);
write('build/sample/random/model.safetensors', randomWeights(modelConfig, 1));

console.log('Pre-training (samples/pretrain.lora.yaml):');
rmSync(join(root, 'build/sample/pretrain'), { recursive: true, force: true });
for (const program of [['scripts/build.mjs'], ['dist/cli.js', 'train', 'samples/pretrain.lora.yaml']]) {
  const { status } = spawnSync(process.execPath, program, { cwd: root, stdio: 'inherit' });
  if (status === 0) continue;
  console.error(`\`node ${program.join(' ')}\` failed; samples/base keeps its old weights.`);
  process.exit(status ?? 1);
}
// A full fine-tuning saves a checkpoint with all weights where a LoRA run saves its adapter.
const candidates = ['model', 'adapter'].map((folder) =>
  join(root, 'build/sample/pretrain', folder, 'model.safetensors'),
);
const weights = candidates.find(existsSync);
if (!weights) {
  console.error(`The run left no weights. Expected one of:\n  ${candidates.join('\n  ')}`);
  process.exit(1);
}
copyFileSync(weights, join(root, 'samples/base/model.safetensors'));
console.log('samples/base/model.safetensors is remade.');
