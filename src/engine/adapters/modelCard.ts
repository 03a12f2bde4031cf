// Writes the README.md of an adapter folder: base, settings, how to load it. Text in, text out.

export interface ModelCard {
  /** Name or path of the base model; null when unknown. */
  baseModel: string | null;
  /** One paragraph on what the adapter is for. */
  summary?: string;
  /** Rows of the table of settings, in order. */
  settings?: readonly (readonly [name: string, value: string | number | boolean | null])[];
}

/** Text from outside must not become Markdown or table structure. */
function cell(value: unknown): string {
  return String(value)
    .replace(/[\r\n]+/g, ' ')
    .replace(/[|`<>[\]]/g, '\\$&')
    .slice(0, 300);
}

/** The card as Markdown with the hub's front matter. JSON strings are valid YAML and Python. */
export function writeModelCard({ baseModel, summary, settings = [] }: ModelCard): string {
  const base = JSON.stringify(baseModel ?? 'path/to/the/base/model');
  const front = [
    '---',
    ...(baseModel ? [`base_model: ${JSON.stringify(baseModel)}`] : []),
    'library_name: peft',
    'tags:',
    '- lora',
    '---',
  ];
  const table =
    settings.length === 0
      ? []
      : [
          '',
          '## Settings',
          '',
          '| Setting | Value |',
          '| --- | --- |',
          ...settings.map(([name, value]) => `| ${cell(name)} | ${cell(value)} |`),
        ];
  return [
    ...front,
    '',
    `# LoRA adapter${baseModel ? ` for ${cell(baseModel)}` : ''}`,
    '',
    summary ? cell(summary) : 'A low-rank adapter in the format of PEFT, made with LoRA Workbench.',
    ...table,
    '',
    '## Use it with PEFT',
    '',
    '```python',
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    '',
    `base = AutoModelForCausalLM.from_pretrained(${base})`,
    'model = PeftModel.from_pretrained(base, "path/to/this/folder")',
    '```',
    '',
  ].join('\n');
}
