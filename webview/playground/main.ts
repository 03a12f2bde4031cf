// The playground: one prompt, the base on the left, the chosen adapter on the right. The base's text is kept while prompt and
// sampling stay, so that swapping an adapter writes one text only.
// Longer than 400 lines: its panes are a file of their own; what is left is the page and the order of answers.
import type {
  PlaygroundContract,
  PlaygroundSession,
  PlaygroundState,
  SayRequest,
  Side,
} from '../../src/protocol/panels/playground';
import type { ChatTurn, SayResult } from '../../src/protocol/trainer';
import { action, button, el, fill, icon } from '../shared/dom';
import { bytesText, integer } from '../shared/format';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import { Pane } from './pane';
import './playground.css';

interface Kept {
  prompt: string;
  chat: boolean;
  shaded: boolean;
  sampling: Record<SettingKey, string>;
  /** Folders: what the page is brought back with after a reload. */
  model: string | null;
  adapter: string | null;
  strength: number;
  talk: boolean;
}
type SettingKey = 'temperature' | 'top_p' | 'max_new_tokens' | 'seed';
type Field = HTMLElement & { value: string; checked: boolean; disabled: boolean };

const port = connect<PlaygroundContract, Kept>();
const main = openPage('Playground');
const settings: [SettingKey, string, string][] = [
  ['temperature', '0', '0 takes the most likely token each time'],
  ['top_p', '1', 'the smallest set of tokens that adds up to this probability'],
  ['max_new_tokens', '160', 'most tokens of an answer'],
  ['seed', '42', 'the same seed gives the same text'],
];
const kept = port.state;

let state: PlaygroundState | undefined;
let session: PlaygroundSession | undefined;
let adapter: string | null = null;
/** What was said on each side, while a conversation goes on. */
const turns: [ChatTurn[], ChatTurn[]] = [[], []];
/** What the base's text was written from. */
let baseKey = '';
let busy = 0;
let turn = 0;

const prompt = el<HTMLTextAreaElement>('textarea', {
  'aria-label': 'Prompt',
  rows: '3',
  placeholder: 'A prompt, to be continued by both',
});
prompt.value = kept?.prompt ?? '';
const chat = el<Field>(
  'vscode-checkbox',
  { checked: kept?.chat ?? false, on: { change: () => keep() } },
  'Chat template',
);
const talk = el<Field>(
  'vscode-checkbox',
  {
    checked: kept?.talk ?? false,
    title: 'The next prompt goes on from both answers; each side remembers its own',
    on: { change: () => keep() },
  },
  'Go on',
);
const afresh = action('New conversation', () => forget(), { hidden: true });
const strengthShown = el('output', { class: 'num' });
const strength = el<HTMLInputElement>('input', {
  type: 'range',
  id: 'strength',
  min: '0',
  max: '2',
  step: '0.05',
  value: String(kept?.strength ?? 1),
  title: '0 is the base, 1 the adapter as it was trained',
  on: {
    input: () => showStrength(),
    change: () => {
      keep();
      rewrite();
    },
  },
});
const deviceSlot = el('div', { class: 'lw-prop' });
const shaded = el<Field>(
  'vscode-checkbox',
  { checked: kept?.shaded ?? true, on: { change: () => toggleShade() } },
  'Probabilities',
);
const fields = new Map(
  settings.map(([key, value, title]) => [
    key,
    el<Field>('vscode-text-field', {
      id: key,
      value: kept?.sampling[key] ?? value,
      title,
      'aria-label': `${key}: ${title}`,
      on: { change: () => keep() },
    }),
  ]),
);
const run = button('Generate', () => void generate(), { icon: 'play', appearance: 'primary' }) as Field;
const stop = button('Stop', () => cancel(), { icon: 'debug-stop' }) as Field;
const list = el('ul', { class: 'pg-list', role: 'radiogroup', 'aria-label': 'Adapter' });
const memory = el('p', { class: 'small muted pg-memory', role: 'status' });
const modelSlot = el('div', {});
const failure = el('div', { role: 'alert', hidden: true, class: 'lw-line' });
const said = el('p', { class: 'said', role: 'status' });
const copy = (text: string): void => void port.request('copy', { text }).catch(() => {});
const panes = [new Pane('the base', copy), new Pane('the adapter', copy)] as const;
const output = el('div', { class: 'pg-panes' }, panes[0].element, panes[1].element);

fill(
  main,
  el(
    'div',
    { class: 'pg-two' },
    el(
      'aside',
      { class: 'pg-side', 'aria-label': 'Model, adapter and sampling' },
      el('section', {}, el('h2', {}, 'Model'), modelSlot, deviceSlot),
      el(
        'section',
        {},
        el('h2', {}, 'Adapter'),
        list,
        el(
          'div',
          { class: 'pg-strength' },
          el('label', { for: 'strength' }, 'Strength'),
          strength,
          strengthShown,
        ),
        memory,
      ),
      el(
        'section',
        {},
        el('h2', {}, 'Sampling'),
        settings.map(([key]) =>
          el('div', { class: 'lw-prop' }, el('label', { for: key }, key), fields.get(key)!),
        ),
      ),
    ),
    el(
      'div',
      { class: 'pg-main' },
      el(
        'div',
        { class: 'pg-prompt' },
        prompt,
        el(
          'div',
          { class: 'row' },
          run,
          stop,
          el('span', { class: 'small muted' }, el('kbd', {}, 'Ctrl'), ' ', el('kbd', {}, 'Enter')),
          el('span', { class: 'push' }),
          afresh,
          talk,
          chat,
          shaded,
        ),
        failure,
      ),
      el(
        'div',
        { class: 'pg-key', 'aria-hidden': 'true' },
        el('span', {}, 'Token probability'),
        el('span', { class: 'pk' }, '0.9 and more'),
        el('span', { class: 'pk p1' }, '0.5–0.9'),
        el('span', { class: 'pk p2' }, '0.2–0.5'),
        el('span', { class: 'pk p3' }, 'under 0.2'),
      ),
      output,
      said,
    ),
  ),
);
clear();
shade();
showStrength();
enable();

function showStrength(): void {
  strengthShown.textContent = Number(strength.value).toFixed(2);
}

function forget(): void {
  for (const side of [0, 1] as const) {
    turns[side] = [];
    panes[side].past([]);
  }
  afresh.hidden = true;
  clear();
}

/** Keeps an answer for the next prompt, where the conversation goes on. */
function remember(side: Side, asked: string, { text, finishReason }: SayResult): void {
  if (!talk.checked || !chat.checked || finishReason === 'cancelled') return;
  turns[side] = [
    ...turns[side],
    { role: 'user', content: asked },
    { role: 'assistant', content: text.trim() },
  ];
  afresh.hidden = false;
}

function clear(): void {
  baseKey = '';
  panes[0].say(el('span', { class: 'muted' }, 'The base’s answer comes here.'));
  panes[1].say(el('span', { class: 'muted' }, 'The adapter’s answer comes here.'));
}

function shade(): void {
  output.classList.toggle('shaded', shaded.checked);
}

function toggleShade(): void {
  shade();
  keep();
}

function keep(): void {
  const sampling = Object.fromEntries(
    [...fields].map(([key, field]) => [key, field.value]),
  ) as Kept['sampling'];
  port.keep({
    prompt: prompt.value,
    chat: chat.checked,
    shaded: shaded.checked,
    sampling,
    model: state?.model ?? null,
    adapter,
    strength: Number(strength.value),
    talk: talk.checked,
  });
}

function enable(): void {
  run.disabled = busy > 0 || state?.model === null;
  stop.disabled = busy === 0;
}

function cancel(): void {
  if (busy > 0) void port.request('stop', undefined).catch(() => {});
}

function chosen() {
  return state?.adapters.find(({ folder }) => folder === adapter);
}

async function generate(onlyAdapter = false): Promise<void> {
  if (busy > 0 || state === undefined || state.model === null) return;
  if (prompt.value === '') {
    prompt.focus();
    return;
  }
  failure.hidden = true;
  keep();
  const number = (key: SettingKey): number => Number(fields.get(key)!.value.replaceAll(',', '.'));
  const params = {
    prompt: prompt.value,
    chat: chat.checked,
    temperature: number('temperature'),
    topP: number('top_p'),
    topK: 0,
    maxNewTokens: number('max_new_tokens'),
    seed: number('seed'),
    strength: Number(strength.value),
  };
  const spoken = turns.map((side) => (chat.checked ? side : [])) as [ChatTurn[], ChatTurn[]];
  const key = JSON.stringify([state.model, state.device, { ...params, strength: null }, spoken[0]]);
  const mine = ++turn;
  busy++;
  enable();
  try {
    if (key !== baseKey) {
      baseKey = '';
      for (const side of [0, 1] as const) panes[side].past(spoken[side]);
      if (adapter !== null) panes[1].say(el('span', { class: 'muted' }, 'After the base.'));
      const result = await write(0, null, { ...params, turns: spoken[0] });
      if (result.finishReason !== 'cancelled') baseKey = key;
      remember(0, params.prompt, result);
      if (result.finishReason === 'cancelled' || mine !== turn) return;
    } else if (!onlyAdapter && adapter === null) await write(0, null, { ...params, turns: spoken[0] });
    if (adapter !== null) {
      const answer = await write(1, adapter, { ...params, turns: spoken[1] });
      const { swapMilliseconds } = answer;
      if (!onlyAdapter) remember(1, params.prompt, answer);
      if (swapMilliseconds > 0) drawMemory(swapMilliseconds);
    }
    said.textContent = 'Done.';
  } catch (cause) {
    fail(cause);
  } finally {
    busy--;
    enable();
  }
}

async function write(
  side: Side,
  folder: string | null,
  params: Omit<SayRequest, 'side' | 'adapter'>,
): Promise<SayResult> {
  const loading = session?.state !== 'open' && side === 0;
  panes[side].say(
    el(
      'span',
      { class: 'muted' },
      el('vscode-progress-ring', { 'aria-label': 'Waiting' }),
      loading ? 'The model is being read.' : 'The prompt is being read.',
    ),
  );
  const result = await port.request('say', { ...params, side, adapter: folder });
  panes[side].finish(result);
  return result;
}

function fail(cause: unknown): void {
  const report = cause instanceof RequestFailure ? cause.report : { message: String(cause), remedy: '' };
  failure.hidden = false;
  fill(
    failure,
    icon('error', 'err', 'Problem'),
    el('span', {}, report.message, ' ', el('span', { class: 'muted' }, report.remedy)),
  );
  for (const pane of panes)
    if (pane.text === '') pane.say(el('span', { class: 'muted' }, 'Nothing was written.'));
}

function choose(folder: string | null, focus = false): void {
  if (busy > 0 && folder !== adapter) cancel();
  adapter = folder;
  keep();
  drawList();
  drawHeads();
  if (focus) list.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  rewrite();
}

/** The base's text stands; only the adapter's is written again. In a conversation the next prompt takes what was chosen. */
function rewrite(): void {
  if (adapter === null || baseKey === '' || turns[0].length > 0) return;
  const again = (): void => void (busy > 0 ? setTimeout(again, 30) : generate(true));
  again();
}

function drawList(): void {
  if (state === undefined) return;
  const usable = state.adapters.filter(({ refusal }) => refusal === undefined);
  const entry = (folder: string | null, name: string, detail: string, place: number, refusal?: string) => {
    const on = folder === adapter;
    return el(
      'li',
      {
        role: 'radio',
        class: refusal === undefined ? '' : 'off',
        'aria-checked': String(on),
        'aria-disabled': refusal === undefined ? undefined : 'true',
        tabindex: on ? '0' : '-1',
        title: refusal ?? folder ?? undefined,
        dataset: { folder: folder ?? '' },
        on: {
          click: () => refusal === undefined && choose(folder, true),
          dblclick: () => folder !== null && void port.request('inspect', { folder }),
        },
      },
      refusal === undefined ? icon(on ? 'circle-filled' : 'circle-large') : icon('warning', 'warn'),
      el('span', {}, name),
      place >= 1 && place <= 9 ? el('kbd', { 'aria-hidden': 'true' }, place) : el('span', {}),
      el('small', {}, refusal ?? detail),
    );
  };
  fill(
    list,
    state.adapters.length === 0
      ? el(
          'li',
          { class: 'off', role: 'radio', 'aria-checked': 'false', 'aria-disabled': 'true' },
          icon('info'),
          el('span', {}, 'No adapter yet'),
          el('span', {}),
          el('small', { style: { color: 'var(--lw-muted)' } }, 'A finished run puts one here.'),
        )
      : entry(null, 'Base alone', 'no adapter', 0),
    state.adapters.map(({ folder, name, detail, refusal }) =>
      entry(folder, name, detail, usable.findIndex((one) => one.folder === folder) + 1, refusal),
    ),
  );
}

list.addEventListener('keydown', (event) => {
  const { key } = event as KeyboardEvent;
  const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[key];
  if (move === undefined || state === undefined) return;
  event.preventDefault();
  const all = [
    null,
    ...state.adapters.filter(({ refusal }) => refusal === undefined).map(({ folder }) => folder),
  ];
  choose(all[(all.indexOf(adapter) + move + all.length) % all.length] ?? null, true);
});

function drawHeads(): void {
  const model = state?.models.find(({ folder }) => folder === state?.model);
  panes[0].head('Base', model?.name ?? '');
  const one = chosen();
  panes[1].head(one?.name ?? 'No adapter', one?.detail ?? 'choose one on the left');
}

function drawModel(): void {
  if (state === undefined) return;
  const { models, model } = state;
  if (models.length === 0) {
    fill(modelSlot, el('p', { class: 'small warn' }, 'No model was found in this workspace.'));
    return;
  }
  const list = el<Field>(
    'vscode-dropdown',
    {
      'aria-label': 'Model',
      on: { change: () => void port.request('setModel', { folder: list.value }).catch(fail) },
    },
    models.map(({ folder, name }) =>
      el('vscode-option', { value: folder, selected: folder === model }, name),
    ),
  );
  fill(modelSlot, list);
  const { device, devices } = state;
  const where = el<Field>(
    'vscode-dropdown',
    {
      id: 'device',
      'aria-label': 'Device',
      on: { change: () => void port.request('setDevice', { device: where.value }).catch(fail) },
    },
    devices.map((one) => el('vscode-option', { value: one, selected: one === device }, one)),
  );
  fill(deviceSlot, el('label', { for: 'device' }, 'device'), where);
}

function drawMemory(swapped?: number): void {
  const { state: at, weightBytes = 0 } = session ?? {};
  fill(
    memory,
    at === 'loading'
      ? [el('vscode-progress-ring', { 'aria-label': 'Loading' }), 'The model is being read.']
      : at === 'open'
        ? `${swapped === undefined ? '' : `Swapped in ${integer(swapped)} ms. `}The base is loaded once: ${bytesText(weightBytes)}.`
        : at === 'failed'
          ? ['The model is not loaded. ', action('Load again', () => void generate())]
          : 'The model is read with the first prompt and stays while this page is open.',
  );
}

addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    void generate();
  } else if (event.key === 'Escape') cancel();
  else if (/^[1-9]$/.test(event.key) && !event.ctrlKey && !event.altKey && !event.metaKey) {
    const { activeElement } = document;
    if (activeElement?.matches('textarea, input, vscode-text-field, vscode-dropdown')) return;
    const usable = state?.adapters.filter(({ refusal }) => refusal === undefined) ?? [];
    const one = usable[Number(event.key) - 1];
    if (one !== undefined) choose(one.folder, list.contains(activeElement));
  }
});
prompt.addEventListener('input', keep);

let shownModels = '';
port.on('state', (next) => {
  const first = state === undefined;
  const modelChanged = state?.model !== next.model;
  const wanted = first || state?.adapter !== next.adapter;
  state = next;
  const usable = next.adapters.filter(({ refusal }) => refusal === undefined);
  if (wanted && next.adapter !== null && usable.some(({ folder }) => folder === next.adapter))
    adapter = next.adapter;
  if (!usable.some(({ folder }) => folder === adapter)) adapter = null;
  const key = JSON.stringify([next.models, next.model, next.device]);
  if (key !== shownModels) {
    shownModels = key;
    drawModel();
  }
  if (modelChanged && !first) forget();
  drawList();
  drawHeads();
  enable();
  if (first) prompt.focus();
  keep();
});
port.on('session', (next) => {
  const opened = next.state === 'open' && session?.state !== 'open';
  session = next;
  // A model with a template is asked in chat, unless a person chose otherwise before.
  if (opened && !next.hasChatTemplate && chat.checked) fill(chat, 'Chat template (the default)');
  drawMemory();
  if (next.error !== null) fail(new RequestFailure(next.error));
});
port.on('token', ({ side, ...piece }) => panes[side].add(piece));
port.on('warning', ({ message }) => {
  said.textContent = message;
});
port.ready();
