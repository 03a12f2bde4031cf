// Recipes in the text editor: problems, completion, hovers, and a code lens, all from the descriptions that validate a
// recipe. The engine's part of it is loaded with the first recipe that is opened.
import * as vscode from 'vscode';
import type { Services } from '../services';
import { RecipeCompletion, RecipeHover } from './assist';
import { RecipeLens } from './codeLens';
import { RecipeDiagnostics } from './diagnostics';

export const recipeSelector: vscode.DocumentSelector = [
  { scheme: 'file', pattern: '**/*.lora.yaml' },
  { scheme: 'file', pattern: '**/*.lora.yml' },
  { scheme: 'file', pattern: '**/*.lora.json' },
];
const yamlSelector = (recipeSelector as vscode.DocumentFilter[]).slice(0, 2);

export function registerRecipeLanguage(services: Services): vscode.Disposable[] {
  return [
    new RecipeDiagnostics(services.log),
    // For JSON the editor's own schema support does both.
    vscode.languages.registerCompletionItemProvider(
      yamlSelector,
      new RecipeCompletion(services),
      ':',
      ' ',
      '/',
    ),
    vscode.languages.registerHoverProvider(yamlSelector, new RecipeHover()),
    vscode.languages.registerCodeLensProvider(recipeSelector, new RecipeLens(services)),
  ];
}
