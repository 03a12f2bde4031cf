// The playground: one prompt, the base on the left, the chosen adapter on the right. The base's text is kept while prompt and
// sampling stay, so that swapping an adapter writes one text only. Controls are files of their own; this one holds the order of
// answers.
import type {
  PlaygroundContract,
  PlaygroundSession,
  PlaygroundState,
  SayRequest,
  Side,
} from '../../src/protocol/panels/playground';
import type { ChatTurn, SayResult } from '../../src/protocol/trainer';
import { type Child, el, fill } from '../shared/dom';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import { t } from '../shared/texts';
import { AdapterList } from './adapterList';
import { ModelChoice, memoryText } from './model';
import { Pane } from './pane';
import './playground.css';
import { PromptBox, type PromptOptions } from './promptBox';
import { Sampling, type SettingKey } from './sampling';
import { Strength } from './strength';

interface Kept extends PromptOptions {
  sampling: Record<SettingKey, string>;
  /** Folders: what the page is brought back with after a reload. */
  model: string | null;
  adapter: string | null;
  strength: number;
}

const port = connect<PlaygroundContract, Kept>();
const main = openPage(t('Playground'));
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

const box = new PromptBox(kept, {
  generate: () => void generate(),
  stop: cancel,
  forget,
  changed() {
    shade();
    keep();
  },
});
const sampling = new Sampling(kept?.sampling, keep);
const strength = new Strength(kept?.strength, () => {
  keep();
  rewrite();
});
const models = new ModelChoice({
  model: (folder) => void port.request('setModel', { folder }).catch(fail),
  device: (device) => void port.request('setDevice', { device }).catch(fail),
});
const list = new AdapterList(choose, (folder) => void port.request('inspect', { folder }));
const memory = el('p', { class: 'small muted pg-memory', role: 'status' });
const said = el('p', { class: 'said', role: 'status' });
const copy = (text: string): void => void port.request('copy', { text }).catch(() => {});
const panes = [
  new Pane(t('the base'), t('Copy the text of the base'), copy),
  new Pane(t('the adapter'), t('Copy the text of the adapter'), copy),
] as const;
const output = el('div', { class: 'pg-panes' }, panes[0].element, panes[1].element);
const muted = (text: Child): HTMLElement => el('span', { class: 'muted' }, text);

fill(
  main,
  el(
    'div',
    { class: 'pg-two' },
    el(
      'aside',
      { class: 'pg-side', 'aria-label': t('Model, adapter and sampling') },
      models.element,
      el('section', {}, el('h2', {}, t('Adapter')), list.element, strength.element, memory),
      sampling.element,
    ),
    el(
      'div',
      { class: 'pg-main' },
      box.element,
      el(
        'div',
        { class: 'pg-key', 'aria-hidden': 'true' },
        el('span', {}, t('Token probability')),
        el('span', { class: 'pk' }, t('0.9 and more')),
        el('span', { class: 'pk p1' }, '0.5–0.9'),
        el('span', { class: 'pk p2' }, '0.2–0.5'),
        el('span', { class: 'pk p3' }, t('under 0.2')),
      ),
      output,
      said,
    ),
  ),
);
clear();
shade();
enable();

function forget(): void {
  for (const side of [0, 1] as const) {
    turns[side] = [];
    panes[side].past([]);
  }
  box.hasPast = false;
  clear();
}

/** Keeps an answer for the next prompt, where the conversation goes on. */
function remember(side: Side, asked: string, { text, finishReason }: SayResult): void {
  const { talk, chat } = box.options;
  if (!talk || !chat || finishReason === 'cancelled') return;
  turns[side] = [
    ...turns[side],
    { role: 'user', content: asked },
    { role: 'assistant', content: text.trim() },
  ];
  box.hasPast = true;
}

function clear(): void {
  baseKey = '';
  panes[0].say(muted(t('The base’s answer comes here.')));
  panes[1].say(muted(t('The adapter’s answer comes here.')));
}

function shade(): void {
  output.classList.toggle('shaded', box.options.shaded);
}

function keep(): void {
  port.keep({
    ...box.options,
    sampling: sampling.values,
    model: state?.model ?? null,
    adapter,
    strength: strength.value,
  });
}

function enable(): void {
  box.enable(busy === 0 && state?.model !== null, busy > 0);
}

function cancel(): void {
  if (busy > 0) void port.request('stop', undefined).catch(() => {});
}

async function generate(onlyAdapter = false): Promise<void> {
  if (busy > 0 || state === undefined || state.model === null) return;
  const { prompt, chat } = box.options;
  if (prompt === '') {
    box.focus();
    return;
  }
  box.fail(null);
  keep();
  const params = { prompt, chat, ...sampling.numbers, strength: strength.value };
  const spoken = turns.map((side) => (chat ? side : [])) as [ChatTurn[], ChatTurn[]];
  const key = JSON.stringify([state.model, state.device, { ...params, strength: null }, spoken[0]]);
  const mine = ++turn;
  busy++;
  enable();
  try {
    if (key !== baseKey) {
      baseKey = '';
      for (const side of [0, 1] as const) panes[side].past(spoken[side]);
      if (adapter !== null) panes[1].say(muted(t('After the base.')));
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
    said.textContent = t('Done.');
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
    muted([
      el('vscode-progress-ring', { 'aria-label': t('Waiting') }),
      loading ? t('The model is being read.') : t('The prompt is being read.'),
    ]),
  );
  const result = await port.request('say', { ...params, side, adapter: folder });
  panes[side].finish(result);
  return result;
}

function fail(cause: unknown): void {
  box.fail(cause instanceof RequestFailure ? cause.report : { message: String(cause), remedy: '' });
  for (const pane of panes) if (pane.text === '') pane.say(muted(t('Nothing was written.')));
}

function choose(folder: string | null, focus: boolean): void {
  if (busy > 0 && folder !== adapter) cancel();
  adapter = folder;
  keep();
  if (state !== undefined) list.show(state, adapter);
  drawHeads();
  if (focus) list.focus();
  rewrite();
}

/** The base's text stands; only the adapter's is written again. In a conversation the next prompt takes what was chosen. */
function rewrite(): void {
  if (adapter === null || baseKey === '' || turns[0].length > 0) return;
  const again = (): void => void (busy > 0 ? setTimeout(again, 30) : generate(true));
  again();
}

function drawHeads(): void {
  const model = state?.models.find(({ folder }) => folder === state?.model);
  panes[0].head(t('Base'), model?.name ?? '');
  const one = state?.adapters.find(({ folder }) => folder === adapter);
  panes[1].head(one?.name ?? t('No adapter'), one?.detail ?? t('choose one on the left'));
}

function drawMemory(swapped?: number): void {
  fill(
    memory,
    memoryText(session, swapped, () => void generate()),
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
    const one = list.usable[Number(event.key) - 1];
    if (one !== undefined) choose(one, list.element.contains(activeElement));
  }
});

port.on('state', (next) => {
  const first = state === undefined;
  const modelChanged = state?.model !== next.model;
  const wanted = first || state?.adapter !== next.adapter;
  state = next;
  const usable = next.adapters.filter(({ refusal }) => refusal === undefined);
  const isUsable = (wantedFolder: string | null): boolean =>
    usable.some(({ folder }) => folder === wantedFolder);
  if (wanted && next.adapter !== null && isUsable(next.adapter)) adapter = next.adapter;
  if (!isUsable(adapter)) adapter = null;
  models.show(next);
  if (modelChanged && !first) forget();
  list.show(next, adapter);
  drawHeads();
  enable();
  if (first) box.focus();
  keep();
});
port.on('session', (next) => {
  const opened = next.state === 'open' && session?.state !== 'open';
  session = next;
  // A model with a template is asked in chat, unless a person chose otherwise before.
  if (opened && !next.hasChatTemplate && box.options.chat) box.sayDefaultTemplate();
  drawMemory();
  if (next.error !== null) fail(new RequestFailure(next.error));
});
port.on('token', ({ side, ...piece }) => panes[side].add(piece));
port.on('warning', ({ message }) => {
  said.textContent = message;
});
port.ready();
