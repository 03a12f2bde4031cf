// The editor's colours for what CSS does not reach: canvases. Reads tokens, mixes and resolves them; tells when they change.

/** A token of the theme (`charts-blue`), or the fallback's, as written in the theme. */
export function token(name: string, fallback = 'foreground'): string {
  const style = getComputedStyle(document.body);
  return (
    style.getPropertyValue(`--vscode-${name}`).trim() || style.getPropertyValue(`--vscode-${fallback}`).trim()
  );
}

export function isHighContrast(): boolean {
  return (
    document.body.classList.contains('vscode-high-contrast') ||
    document.body.classList.contains('vscode-high-contrast-light')
  );
}

let probe: HTMLElement | undefined;

/** Any CSS colour → `rgba(…)`; canvas libraries cannot read color-mix(). */
export function resolveColour(value: string): string {
  if (probe === undefined) {
    probe = document.createElement('i');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = '';
  probe.style.color = value;
  const { color } = getComputedStyle(probe);
  const parts = /^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.e-]+))?\)/.exec(color);
  if (parts === null) return color;
  const channels = parts.slice(1, 4).map((part) => Math.round(255 * Number(part)));
  return `rgba(${channels.join(',')},${parts[4] ?? 1})`;
}

/** `percent` of a token on the editor's background. */
export function mixed(name: string, percent: number): string {
  return resolveColour(
    `color-mix(in srgb, ${token(name)} ${percent}%, ${token('editor-background', 'editor-background')})`,
  );
}

/** Calls back when the user chooses another theme. */
export function onThemeChange(listener: () => void): void {
  new MutationObserver(() => listener()).observe(document.body, {
    attributes: true,
    attributeFilter: ['class', 'data-vscode-theme-id'],
  });
}
