// The Tab key through a panel: every control is reached, in the order of the page, each with a visible focus, and the last
// Tab leaves the panel.

/** Runs inside the page: what can take part, what has the focus, how it looks. */
function install() {
  const controls =
    'a[href], button, input, textarea, select, summary, [tabindex], vscode-button, vscode-checkbox, vscode-dropdown, vscode-text-field, vscode-radio, vscode-link';
  const name = (element) => {
    const text = element.getAttribute('aria-label') || element.textContent || '';
    return `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ''} “${text.trim().replaceAll(/\s+/g, ' ').slice(0, 40)}”`;
  };
  // A component's focus shows on a part of it.
  const look = (element) => {
    const all = [element, ...(element.shadowRoot?.querySelectorAll('*') ?? [])];
    return all
      .map((one) => {
        const style = getComputedStyle(one);
        const outline = style.outlineStyle === 'none' ? '' : `${style.outlineWidth}${style.outlineColor}`;
        return `${outline}|${style.borderColor}|${style.boxShadow}|${style.backgroundColor}`;
      })
      .join(';');
  };
  const reachable = (element) =>
    element.tabIndex >= 0 &&
    !element.disabled &&
    !element.hasAttribute('disabled') &&
    element.checkVisibility({ checkVisibilityCSS: true }) &&
    // The name of a list or a field stands for its parts.
    element.parentElement?.closest('vscode-dropdown, vscode-radio-group') == null;
  const list = () => [...document.querySelectorAll(controls)].filter(reachable);
  const resting = new Map();
  globalThis.walk = {
    prepare() {
      document.activeElement?.blur();
      scrollTo(0, 0);
      resting.clear();
      for (const element of list()) resting.set(element, look(element));
    },
    controls: () => list().length,
    now() {
      const element = document.activeElement;
      if (element === null || element === document.body || !document.hasFocus()) return null;
      const known = [...resting.keys()].indexOf(element);
      const { top, bottom, left, right, width, height } = element.getBoundingClientRect();
      return {
        known,
        name: name(element),
        changed: !resting.has(element) || look(element) !== resting.get(element),
        seen: width > 0 && height > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth,
      };
    },
    missing: (known) =>
      [...resting.keys()]
        .filter((element, i) => !known.includes(i) && element.isConnected && reachable(element))
        .map(name),
  };
}

/**
 * Tabs through a panel from its top. Gives how many stops there are and what is wrong: controls that are never reached, stops
 * that cannot be seen, an order that jumps back, a trap.
 */
export async function tabThrough(bench, frame, most = 150) {
  const { page } = bench;
  await frame.evaluate(install);
  await frame.locator('main').evaluate((main) => {
    // The walk begins before the first control.
    main.tabIndex = -1;
    main.focus({ preventScroll: true });
  });
  await frame.evaluate(() => {
    globalThis.walk.prepare();
    document.querySelector('main').focus({ preventScroll: true });
  });
  const stops = [];
  const problems = [];
  let left = false;
  for (let turn = 0; turn < most; turn++) {
    await page.keyboard.press('Tab');
    const stop = await frame.evaluate(() => globalThis.walk.now());
    if (stop === null || stops.some((one) => one.known === stop.known && stop.known >= 0)) {
      left = stop === null;
      if (!left) problems.push(`Tab comes back to ${stop.name} and does not leave`);
      break;
    }
    stops.push(stop);
    if (!stop.changed) problems.push(`no visible focus on ${stop.name}`);
    if (!stop.seen) problems.push(`out of sight with the focus: ${stop.name}`);
  }
  if (!left && stops.length >= most) problems.push(`Tab does not leave within ${most} stops`);
  const missing = left
    ? await frame.evaluate(
        (known) => globalThis.walk.missing(known),
        stops.map(({ known }) => known),
      )
    : [];
  problems.push(...missing.map((one) => `Tab never reaches ${one}`));
  const order = stops.map(({ known }) => known).filter((known) => known >= 0);
  for (let i = 1; i < order.length; i++)
    if (order[i] < order[i - 1]) problems.push(`the order jumps back to ${stops[i].name}`);
  await frame.evaluate(() => document.querySelector('main').removeAttribute('tabindex'));
  return { stops: stops.length, names: stops.map(({ name }) => name), problems };
}
