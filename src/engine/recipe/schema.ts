// The JSON schema (draft-07) of a recipe, from the same descriptions that validate it, so that editors complete and check
// *.lora.yaml and *.lora.json. In: a catalogue. Out: a plain object.
import type { Choice, SettingField, SettingShape } from '../../protocol/settings';
import type { RecipeCatalogue } from './catalogue';
import { recipeFields } from './fields';

export type JsonSchema = { readonly [key: string]: unknown };

/** The schema of a whole recipe. */
export function recipeSchema(catalogue: RecipeCatalogue): JsonSchema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'LoRA Workbench recipe',
    description:
      'A fine-tuning run: every key but model and dataset has a default; relative paths are relative to this file.',
    ...objectSchema(recipeFields(catalogue)),
  };
}

function objectSchema(fields: readonly SettingField[]): JsonSchema {
  const required = fields.filter((field) => field.required).map((field) => field.key);
  return {
    type: 'object',
    ...(required.length > 0 ? { required } : {}),
    properties: Object.fromEntries(fields.map((field) => [field.key, fieldSchema(field)])),
    additionalProperties: false,
  };
}

function fieldSchema(field: SettingField): JsonSchema {
  const shape = shapeSchema(field);
  return {
    description: field.unit === undefined ? field.description : `${field.description} Unit: ${field.unit}.`,
    ...(field.default === undefined || field.default === null ? {} : { default: field.default }),
    // Every optional setting may be written as null: not set.
    ...(field.required
      ? shape
      : { anyOf: [...((shape.anyOf as JsonSchema[] | undefined) ?? [shape]), { type: 'null' }] }),
  };
}

function shapeSchema(shape: SettingShape): JsonSchema {
  switch (shape.type) {
    case 'integer':
    case 'number': {
      const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = shape;
      return withoutUndefined({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum });
    }
    case 'boolean':
      return { type: 'boolean' };
    case 'string':
      return { type: 'string' };
    case 'path':
      return { type: 'string', minLength: 1 };
    case 'enum':
      return { anyOf: shape.choices.flatMap(choiceSchemas) };
    case 'list':
      return withoutUndefined({
        type: 'array',
        items: shapeSchema(shape.items),
        minItems: shape.minimumItems,
      });
    case 'map':
      return { type: 'object', additionalProperties: shapeSchema(shape.values) };
    case 'object':
      return objectSchema(shape.fields);
    case 'union':
      return { anyOf: shape.options.map(shapeSchema) };
  }
}

/** A branch per choice, because editors show a branch's description beside its value; a family has one for its example too. */
function choiceSchemas({ id, label, pattern }: Choice): JsonSchema[] {
  const value = { const: id, description: label };
  return pattern === undefined
    ? [value]
    : [value, { type: 'string', pattern: `^(?:${pattern})$`, description: label }];
}

function withoutUndefined(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined));
}
