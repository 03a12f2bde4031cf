// The frame of every panel's page: style sheet, components, one `main` with a name.
import './workbench.css';
import { registerToolkit } from './toolkit';

/** Prepares the page and returns its `main`. `label` is what screen readers call it. */
export function openPage(label: string): HTMLElement {
  registerToolkit();
  const main = document.getElementById('app') as HTMLElement;
  main.classList.add('lw');
  main.setAttribute('aria-label', label);
  return main;
}
