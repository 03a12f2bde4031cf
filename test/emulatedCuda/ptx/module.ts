// Finds in a PTX module's text a kernel or a function and the variables that they name.
import { split } from './statements';

/** A declared variable: parameter, shared, local, constant or global memory. */
export interface Variable {
  name: string;
  bytes: number;
  align: number;
  /** One element's type, `b8`, `u32`, `f32`. */
  type: string;
  /** Initial elements, as written. */
  initial?: string[];
}
export interface FunctionText {
  name: string;
  params: Variable[];
  results: Variable[];
  /** From its opening brace on. */
  body: string;
}

const sizes: Record<string, number> = { pred: 1, f16x2: 4, bf16x2: 4, s16x2: 4, u16x2: 4, bf16: 2 };
export const sizeOf = (type: string): number => sizes[type] ?? Number(/\d+$/.exec(type)![0]) / 8;

/** `.param .u64 .ptr .align 1 name`, `.shared .align 4 .b8 name[16]`, `.global .align 4 .u32 name[2] = {1, 2}`. */
export function variable(declaration: string): Variable {
  const [left, right] = declaration.split('=', 2) as [string, string | undefined];
  const align = Number(/(?<!\.ptr(?: \.\w+)?)\s\.align (\d+)/.exec(left)?.[1] ?? 0);
  const type = /\.([subf]\d+|pred|f16x2|bf16x2|bf16)\b/.exec(left)?.[1];
  const named = /([\w$%]+)((?:\s*\[\d*\])*)\s*$/.exec(left.trim());
  if (type === undefined || named === null) throw new Error(`No declaration of a variable: ${declaration}`);
  const counts = [...named[2]!.matchAll(/\[(\d*)\]/g)].map(([, n]) => Number(n));
  const initial = right === undefined ? undefined : split(right.trim().replace(/^\{|\}$/g, ''));
  const count = named[2] === '' ? 1 : counts.reduce((a, b) => a * b, 1);
  return {
    name: named[1]!,
    bytes: count * sizeOf(type),
    align: Math.max(align, sizeOf(type)),
    type,
    ...(initial && { initial }),
  };
}

/** @param kind `.entry` or `.func`. Undefined where the module does not define it. */
export function functionText(
  module: string,
  kind: '.entry' | '.func',
  name: string,
): FunctionText | undefined {
  for (let at = module.indexOf(name); at >= 0; at = module.indexOf(name, at + 1)) {
    if (/[\w$]/.test(module[at + name.length] ?? '') || /[\w$]/.test(module[at - 1] ?? '')) continue;
    const line = module.slice(Math.max(0, module.lastIndexOf('\n.', at)), at);
    const [, results] = new RegExp(`\\${kind}\\s*(?:\\(([^)]*)\\)\\s*)?$`).exec(line) ?? [];
    if (!new RegExp(`\\${kind}\\b`).test(line) || line.includes('.extern')) continue;
    const open = module.indexOf('(', at);
    const body = module.indexOf('{', at);
    const end = module.indexOf(';', at);
    if (body < 0 || (end >= 0 && end < body)) continue;
    const params = open >= 0 && open < body ? module.slice(open + 1, module.indexOf(')', open)) : '';
    const declared = (list: string): Variable[] => split(list).map(variable);
    return { name, params: declared(params), results: declared(results ?? ''), body: module.slice(body) };
  }
  return undefined;
}

/** The module's own variables by name, with their space. */
export function moduleVariables(module: string): Map<string, Variable & { space: string }> {
  const found = new Map<string, Variable & { space: string }>();
  for (const [text, space] of module.matchAll(
    /^(?:\.(?:visible|extern|weak|common) )*\.(global|const|shared)\b[^;]*;/gm,
  )) {
    const own = variable(text.slice(0, -1).replace(/\s+/g, ' '));
    found.set(own.name, { ...own, space: space! });
  }
  return found;
}
