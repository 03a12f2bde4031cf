// A line plot as SVG text. Own code because the chart libraries at hand draw on a browser's canvas, and a result file wants a
// picture that diffs as text. Colours are the Okabe–Ito set, told apart by colour-blind readers; dashes repeat what colours say.

const colours = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'];
const dashes = ['', '7 3', '2 3', '9 3 2 3', '', '7 3', '2 3'];
const [width, height] = [720, 380];
const frame = { left: 64, right: 190, top: 16, bottom: 48 };

const escaped = (text) =>
  String(text).replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
const short = (value) => Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 6 });

/** Round numbers that cover a range, four to eight of them. */
function ticks(low, high) {
  const rough = (high - low) / 5 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => rough <= candidate);
  const values = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) values.push(tick);
  return values;
}

/**
 * @param {{x: string, y: string, logY?: boolean, series: {label: string, points: [number, number][]}[]}} plot
 * @returns {string} SVG
 */
export function svgPlot({ x, y, logY = false, series }) {
  const points = series.flatMap((one) => one.points).filter(([, value]) => !logY || value > 0);
  const scaleY = logY ? Math.log10 : (value) => value;
  const range = (values) => [Math.min(...values), Math.max(...values)];
  const [xLow, xHigh] = range(points.map(([value]) => value));
  const [yLow, yHigh] = range(points.map(([, value]) => scaleY(value)));
  const toX = (value) =>
    frame.left + ((value - xLow) / (xHigh - xLow || 1)) * (width - frame.left - frame.right);
  const toY = (value) =>
    height -
    frame.bottom -
    ((scaleY(value) - yLow) / (yHigh - yLow || 1)) * (height - frame.top - frame.bottom);
  const parts = [];
  for (const tick of ticks(xLow, xHigh)) {
    parts.push(
      `<line class="grid" x1="${toX(tick)}" x2="${toX(tick)}" y1="${frame.top}" y2="${height - frame.bottom}"/>`,
    );
    parts.push(
      `<text x="${toX(tick)}" y="${height - frame.bottom + 18}" text-anchor="middle">${short(tick)}</text>`,
    );
  }
  const yTicks =
    logY && yHigh - yLow > 1
      ? Array.from({ length: Math.floor(yHigh) - Math.ceil(yLow) + 1 }, (_, i) => 10 ** (Math.ceil(yLow) + i))
      : ticks(yLow, yHigh).map((tick) => (logY ? 10 ** tick : tick));
  for (const tick of yTicks) {
    parts.push(
      `<line class="grid" x1="${frame.left}" x2="${width - frame.right}" y1="${toY(tick)}" y2="${toY(tick)}"/>`,
    );
    parts.push(`<text x="${frame.left - 8}" y="${toY(tick) + 4}" text-anchor="end">${short(tick)}</text>`);
  }
  series.forEach((one, index) => {
    const line = one.points
      .filter(([, value]) => !logY || value > 0)
      .map(([px, py]) => `${toX(px).toFixed(1)},${toY(py).toFixed(1)}`)
      .join(' ');
    const style = `stroke="${colours[index % colours.length]}" stroke-dasharray="${dashes[index % dashes.length]}"`;
    parts.push(`<polyline fill="none" stroke-width="2" ${style} points="${line}"/>`);
    const at = frame.top + 14 + index * 20;
    parts.push(
      `<line stroke-width="2" ${style} x1="${width - frame.right + 14}" x2="${width - frame.right + 40}" y1="${at - 4}" y2="${at - 4}"/>`,
    );
    parts.push(`<text x="${width - frame.right + 46}" y="${at}">${escaped(one.label)}</text>`);
  });
  parts.push(
    `<text x="${(frame.left + width - frame.right) / 2}" y="${height - 10}" text-anchor="middle">${escaped(x)}</text>`,
  );
  const middle = (frame.top + height - frame.bottom) / 2;
  parts.push(
    `<text transform="translate(16 ${middle}) rotate(-90)" text-anchor="middle">${escaped(y)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<style>.grid{stroke:#ddd;stroke-width:1}</style><rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
