// Puts the measured costs into the README's table of methods: three columns, one cell per method that was measured. The words of
// the table are the README's own.
const columns = ['Parameters', 'Memory', 'Time'];

/**
 * @param {string} text the README
 * @param {{name: string, parameters: number, totalBytes: number, slower: number}[]} costs
 */
export function withCosts(text, costs) {
  const lines = text.split('\n');
  const head = lines.findIndex((line) => line.startsWith('| Method |'));
  if (head < 0) throw new Error('The README has no table that begins with "| Method |".');
  const cellsOf = (line) =>
    line
      .slice(1, line.lastIndexOf('|'))
      .split('|')
      .map((cell) => cell.trim());
  const names = cellsOf(lines[head]).filter((name) => !columns.includes(name));
  const kept = cellsOf(lines[head]).map((name) => !columns.includes(name));
  const before = names.indexOf('Held against');
  const join = (cells) => `| ${cells.join(' | ')} |`;
  const row = (own, added) => join([...own.slice(0, before), ...added, ...own.slice(before)]);
  lines[head] = row(names, columns);
  lines[head + 1] = row(
    names.map(() => '---'),
    columns.map(() => '--:'),
  );
  for (let at = head + 2; lines[at]?.startsWith('|'); at++) {
    const own = cellsOf(lines[at]).filter((_, i) => kept[i]);
    // A row may stand for several methods; their names come first, explanations follow in brackets.
    const methods = own[0]
      .replace(/\(.*$/, '')
      .split(',')
      .map((name) => name.trim());
    const found = costs.filter((one) => methods.includes(one.name));
    const cell = (show) => (found.length ? found.map(show).join(' / ') : '–');
    lines[at] = row(own, [
      cell((one) => one.parameters.toLocaleString('en-US')),
      cell((one) => `${Math.round(one.totalBytes / 2 ** 20)} MiB`),
      cell((one) => `${one.slower.toFixed(2)}×`),
    ]);
  }
  return lines.join('\n');
}
