// Writes schemas/recipe.schema.json from the descriptions that validate recipes. Run it after changing a setting or the catalogue.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import { root, run } from './setup.mjs';

const program = `${root}build/schema.cjs`;
const target = 'schemas/recipe.schema.json';
await build({
  absWorkingDir: root,
  stdin: {
    contents: `import { catalogue } from './src/engine/catalogue';
      import { recipeSchema } from './src/engine/recipe/schema';
      export const schema = recipeSchema(catalogue);`,
    resolveDir: root,
    loader: 'ts',
  },
  bundle: true,
  platform: 'node',
  format: 'cjs',
  external: ['koffi', 'onnxruntime-node'],
  outfile: program,
});
const { schema } = createRequire(import.meta.url)(program);
mkdirSync(`${root}schemas`, { recursive: true });
writeFileSync(`${root}${target}`, `${JSON.stringify(schema, null, 2)}\n`);
run('npx', ['--no-install', 'biome', 'format', '--write', target]);
