// The results of all experiments → bench/METHODS.md. Every word about an outcome comes from numbers in the results.
import { cpus, totalmem } from 'node:os';

const verdicts = { shows: 'shows here', partly: 'shows partly', not: 'does not show here' };

export function methodsPage(results, hasPlot) {
  const rows = results.map(
    (one) => `| [${one.title}](#${one.id}) | ${one.claim} | ${verdicts[one.verdict]} | ${one.headline} |`,
  );
  const sections = results.map((one) =>
    [
      `<a id="${one.id}"></a>`,
      `## ${one.title}`,
      `*Claim* (${one.paper}): ${one.claim}`,
      `*Here*: ${one.setup} Seeds: ${one.seeds.join(', ')}.`,
      table(one.table),
      ...(one.extraTable ? [`${one.extraTable.caption}:`, table(one.extraTable)] : []),
      ...(hasPlot(one.id) ? [`![${one.title}](methods/plots/${one.id}.svg)`] : []),
      `**${verdicts[one.verdict][0].toUpperCase()}${verdicts[one.verdict].slice(1)}.** ${one.reading}`,
    ].join('\n\n'),
  );
  return `# The papers' claims, tried small

Made by \`npm run bench:methods\`. The sample model has 1.3 million parameters and the data is a few hundred rows: an effect that shows here is an echo of the paper's, and one that does not may need a larger model. A verdict is a rule on the numbers, written in the experiment's file (\`methods/experiments\`): "shows" where the difference is larger than twice its standard error over the seeds. Numbers are mean ± sample standard deviation.

Machine: ${cpus()[0].model.trim()}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; fp32 on the CPU.

| method | claim | verdict | in a line |
| --- | --- | --- | --- |
${rows.join('\n')}

${sections.join('\n\n')}
`;
}

function table({ columns, rows }) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(columns), line(columns.map((_, i) => (i ? '--:' : '---'))), ...rows.map(line)].join('\n');
}
