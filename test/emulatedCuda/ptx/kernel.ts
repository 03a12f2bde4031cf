// A kernel of a PTX module as the C source of a shared library (native/kernel.h is its other half).
import { guarded, meets, translate } from './instructions';
import { type FunctionText, functionText, moduleVariables, sizeOf, type Variable, variable } from './module';
import type { Names } from './operands';
import { type Directive, type Instruction, type Statement, scopeAt, split } from './statements';

const plain = (name: string): string => name.replace(/[%$]/g, '_');

/** @throws Error that names what of the kernel we cannot run. */
export function kernelSource(module: string, name: string): string {
  const entry = functionText(module, '.entry', name);
  if (!entry) throw new Error(`The PTX has no kernel ${name}.`);
  const globals = moduleVariables(module);
  const used = new Map<string, Variable & { space: string }>();
  const functions = new Map<string, string>();
  let fibers = false;
  let sharedBytes = 0;
  let dynamic: string[] = [];
  const sharedAt = new Map<string, number>();

  const shared = (own: Variable): string => {
    if (own.bytes === 0) {
      if (!dynamic.includes(own.name)) dynamic = [...dynamic, own.name];
      return 'T->grid->staticShared';
    }
    if (!sharedAt.has(own.name)) {
      sharedBytes = Math.ceil(sharedBytes / own.align) * own.align;
      sharedAt.set(own.name, sharedBytes);
      sharedBytes += own.bytes;
    }
    return `${sharedAt.get(own.name)}u`;
  };

  const func = (text: FunctionText, isEntry: boolean): string => {
    const { scope } = scopeAt(text.body, 0);
    let labels = 0;
    let offset = 0;
    const params = new Map<string, string>();
    for (const own of [...text.results, ...text.params]) {
      offset = Math.ceil(offset / own.align) * own.align;
      params.set(
        own.name,
        isEntry ? `(uint64_t)(T->grid->params + ${offset})` : `(uint64_t)S_${plain(own.name)}`,
      );
      offset += own.bytes;
    }

    const emit = (statements: Statement[], outer: Names): string => {
      const registers = new Map<string, { c: string; bytes: number }>();
      const ranges: { prefix: string; bytes: number; count: number }[] = [];
      const declared = new Map<string, { c: string; space: string }>();
      const own = new Map<string, string>();
      const lines: string[] = [];
      const id = labels++;
      const targets = new Map<string, string[]>();
      for (const [k, s] of statements.entries()) {
        if (s.kind !== 'label') continue;
        own.set(s.name, `L${id}_${plain(s.name)}`);
        const next = statements[k + 1];
        if (next?.kind === 'directive' && next.text.startsWith('.branchtargets'))
          targets.set(s.name, split(next.text.slice('.branchtargets'.length)));
      }
      const names: Names = {
        register(wanted) {
          const known = registers.get(wanted);
          if (known) return known;
          for (const range of ranges) {
            const number = wanted.startsWith(range.prefix) ? wanted.slice(range.prefix.length) : '';
            if (!/^\d+$/.test(number) || Number(number) >= range.count) continue;
            const made = { c: `R${plain(wanted)}`, bytes: range.bytes };
            registers.set(wanted, made);
            return made;
          }
          return outer.register(wanted);
        },
        symbol: (wanted) => declared.get(wanted) ?? outer.symbol(wanted),
        label: (wanted) => own.get(wanted) ?? outer.label(wanted),
      };
      const declare = ({ text: line }: Directive): void => {
        if (line.startsWith('.reg')) {
          const [, type, list] = /^\.reg ?\.(\w+) (.*)$/.exec(line)!;
          const bytes = type === 'pred' ? 0 : sizeOf(type!);
          for (const item of split(list!)) {
            const [, prefix, count] = /^([\w%$]+)<(\d+)>$/.exec(item) ?? [];
            if (prefix) ranges.push({ prefix, bytes, count: Number(count) });
            else registers.set(item, { c: `R${plain(item)}`, bytes });
          }
        } else if (/^\.(local|param|shared)\b/.test(line)) {
          const made = variable(line);
          const space = line.slice(1, line.indexOf(' '));
          if (space === 'shared') declared.set(made.name, { c: shared(made), space });
          else {
            const c = `S_${plain(made.name)}`;
            lines.push(`uint8_t ${c}[${made.bytes}] __attribute__((aligned(16)));`);
            declared.set(made.name, { c: `(uint64_t)${c}`, space });
          }
        }
      };
      for (const s of statements) {
        if (s.kind === 'directive') declare(s);
        else if (s.kind === 'label') lines.push(`${own.get(s.name)}:;`);
        else if (s.kind === 'scope') lines.push(emit(s.statements, names));
        else lines.push(instruction(s, names, targets));
      }
      const variables = [...registers.values()].map(({ c, bytes }) => `uint${8 * (bytes || 1)}_t ${c};`);
      return `{\n${[...variables, ...lines].join('\n')}\n}`;
    };

    const instruction = (s: Instruction, names: Names, targets: Map<string, string[]>): string => {
      fibers ||= meets(s) || (s.parts[0] === 'exit' && !isEntry);
      if (s.parts[0] === 'brx') {
        const list = targets.get(s.operands[1]!) ?? [];
        const cases = list.map((label, k) => `case ${k}: goto ${names.label(label)};`);
        const chosen = names.register(s.operands[0]!)!.c;
        return guarded(s, `switch (${chosen}) { ${cases.join(' ')} }`, names);
      }
      if (s.parts[0] === 'call') callee(s);
      // In a function it ends its callers, too.
      if (s.parts[0] === 'exit' && isEntry) return translate({ ...s, parts: ['ret'] }, names);
      return translate(s, names);
    };

    const names: Names = {
      register: () => undefined,
      symbol: (wanted) => {
        const param = params.get(wanted);
        if (param !== undefined) return { c: param, space: 'param' };
        const found = globals.get(wanted);
        if (!found) throw new Error(`${text.name} names ${wanted}, which the module does not declare.`);
        if (found.space === 'shared') return { c: shared(found), space: 'shared' };
        used.set(wanted, found);
        return { c: `(uint64_t)G_${plain(wanted)}`, space: found.space };
      },
      label: (wanted) => {
        throw new Error(`No label: ${wanted}`);
      },
    };
    const body = emit(scope.statements, names);
    const buffers = isEntry
      ? []
      : [...text.results, ...text.params].map((p) => `uint8_t *S_${plain(p.name)}`);
    const own = `static void ${isEntry ? 'body' : `F_${plain(text.name)}`}(${['Thread *T', ...buffers].join(', ')})`;
    if (!isEntry) functions.set(text.name, `${own};`);
    return `${own} { uint32_t carry = 0, unused; ${body} }`;
  };

  const bodies: string[] = [];
  const callee = (call: Instruction): void => {
    const named = call.operands.find((operand) => !operand.startsWith('('))!;
    if (functions.has(named) || named === 'vprintf' || named === '__assertfail') return;
    const text = functionText(module, '.func', named);
    if (!text) throw new Error(`${call.text} calls what the module does not define.`);
    functions.set(named, '');
    bodies.push(func(text, false));
  };

  const main = func(entry, true);
  const offsets: number[] = [];
  let end = 0;
  for (const own of entry.params) {
    end = Math.ceil(end / own.align) * own.align;
    offsets.push(end);
    end += own.bytes;
  }
  return [
    '#include "tensorCores.h"',
    ...[...used.values()].map(memory),
    ...functions.values(),
    ...bodies,
    main,
    `static const uint32_t offsets[] = {${[...offsets, 0].join(', ')}};`,
    `static const uint32_t sizes[] = {${[...entry.params.map((p) => p.bytes), 0].join(', ')}};`,
    `const Kernel kernel = {body, ${fibers ? 1 : 0}, ${sharedBytes}, ${entry.params.length}, offsets, sizes, ${end}};`,
    '',
  ].join('\n');
}

/** A variable of constant or global memory. */
function memory(own: Variable): string {
  const name = `G_${plain(own.name)}`;
  if (!own.initial) return `static uint8_t ${name}[${Math.max(own.bytes, 1)}] __attribute__((aligned(16)));`;
  const type = /^f/.test(own.type)
    ? `uint${8 * sizeOf(own.type)}_t`
    : `${own.type[0] === 's' ? '' : 'u'}int${8 * sizeOf(own.type)}_t`;
  const values = own.initial.map((value) => {
    if (/^0f/i.test(value)) return `0x${value.slice(2)}u`;
    if (/^0d/i.test(value)) return `0x${value.slice(2)}ull`;
    if (!/^-?(0x)?[0-9a-fA-F]+U?$/.test(value)) throw new Error(`${own.name} starts with ${value}.`);
    return value.replace(/U$/, '');
  });
  const count = own.bytes / sizeOf(own.type) || values.length;
  return `static ${type} ${name}[${count}] __attribute__((aligned(16))) = {${values.join(', ')}};`;
}
