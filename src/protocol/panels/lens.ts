// What the page of a dataset is told and may ask: rows as tokens, lengths and problems of all rows as they are scanned, and
// the settings that decide both. Plain data; both sides and the thread that reads are typed by this file.
import type { ErrorReport } from '../errors';
import type { RecipeValues } from '../recipe';
import type { SettingValue } from '../settings';
import type { CommonRequests, Contract } from '../webview';

/** What decides how a row becomes tokens. */
export interface LensSettings {
  /** The model's folder; null while none is known. */
  model: string | null;
  /** Source of a template that replaces the model's own. */
  template: string | null;
  /** Where it came from, for the list. */
  templateName: string;
  train_on: RecipeValues['train_on'];
  max_length: number;
  truncation: RecipeValues['truncation'];
}

export interface LensChoice {
  /** Absolute. */
  path: string;
  name: string;
}

/** What the page shows around the rows. */
export interface LensState {
  file: string;
  name: string;
  settings: LensSettings;
  models: readonly LensChoice[];
  /** Recipes that name this file. */
  recipes: readonly LensChoice[];
  /** The one that remedies are written to. */
  recipe: string | null;
  /** Row to begin with, from 0. */
  first: number;
}

/** 0 masked, 1 trained, 2 cut by max_length. */
export type TokenKind = 0 | 1 | 2;

export interface LensSegment {
  /** A role (`user`), a side (`prompt`, `answer`) or `text`. */
  who: string;
  ids: readonly number[];
  texts: readonly string[];
  kinds: readonly TokenKind[];
  /** Indices of tokens that end an answer. */
  ends: readonly number[];
  /** Indices of special tokens. */
  special: readonly number[];
}

export interface LensRow {
  /** From 0. */
  index: number;
  /** From 1, or null where the format has no lines. */
  line: number | null;
  tokens: number;
  trained: number;
  masked: number;
  cut: number;
  /** What becomes of the token that ends the last answer. */
  end: 'trained' | 'masked' | 'cut' | 'none';
  segments: readonly LensSegment[];
  /** Tokens that are not sent, of a row too long to show. */
  hidden: number;
  /** Labels of the row's problems. */
  problems: readonly string[];
  error: { message: string; remedy: string } | null;
}

export interface Remedy {
  label: string;
  /** Recipe key → value; undefined takes the key out. */
  edits: Partial<Record<string, SettingValue | undefined>>;
}

export interface LensProblem {
  id: string;
  severity: 'error' | 'warning' | 'info';
  message: string;
  count: number;
  /** The first rows, from 0, with their lines, for diagnostics. */
  rows: readonly { row: number; line: number | null; message: string }[];
  remedies: readonly Remedy[];
}

/** How far the look at all rows has come. */
export interface LensProgress {
  /** Rows known so far. */
  rows: number;
  /** Whether that is all. */
  complete: boolean;
  /** Rows that were encoded. */
  scanned: number;
  done: boolean;
  /** Rows by length before truncation: bar i holds lengths above i·width and up to (i+1)·width. */
  histogram: { width: number; rows: readonly number[] };
  median: number;
  p95: number;
  longest: number;
  tokens: number;
  trained: number;
  longer: number;
  shape: string;
  problems: readonly LensProblem[];
  /** What was looked for and not found, a sentence each. */
  fine: readonly string[];
  notes: readonly string[];
}

export interface LensContract extends Contract {
  requests: {
    rows: { params: { from: number; count: number }; result: readonly LensRow[] };
    /** The next row with a problem (of one kind), from a row on, without it; null where there is none. */
    problemRow: { params: { from: number; back: boolean; id: string | null }; result: number | null };
    set: { params: Partial<LensSettings>; result: undefined };
    /** Asks for a Jinja file. */
    chooseTemplate: { params: undefined; result: undefined };
    setRecipe: { params: { path: string | null }; result: undefined };
    remedy: { params: Remedy; result: { written: string | null } };
    openRow: { params: { line: number | null }; result: undefined };
    command: CommonRequests['command'];
  };
  pushes: {
    state: LensState;
    progress: LensProgress;
    /** Rows must be asked for again. */
    stale: Record<string, never>;
    failed: ErrorReport;
  };
}
