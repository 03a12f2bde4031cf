// Registers the toolkit's components that the panels use, once per page. Their names for screen readers are the ones that the
// panel gives: some components would otherwise take their own text, or the name of their kind.
import {
  Checkbox,
  Dropdown,
  PanelTab,
  ProgressRing,
  provideVSCodeDesignSystem,
  Radio,
  TextArea,
  TextField,
  vsCodeBadge,
  vsCodeButton,
  vsCodeCheckbox,
  vsCodeDropdown,
  vsCodeLink,
  vsCodeOption,
  vsCodePanels,
  vsCodePanelTab,
  vsCodePanelView,
  vsCodeProgressRing,
  vsCodeRadio,
  vsCodeRadioGroup,
  vsCodeTag,
  vsCodeTextArea,
  vsCodeTextField,
} from '@vscode/webview-ui-toolkit';

interface Connecting extends HTMLElement {
  connectedCallback(): void;
}

/** Keeps the `aria-label` (and, of the ring, the quiet role) that was set before the component was connected. */
function keepName(component: { prototype: Connecting }, role?: string): void {
  const { connectedCallback } = component.prototype;
  component.prototype.connectedCallback = function (this: Connecting): void {
    const name = this.getAttribute('aria-label');
    connectedCallback.call(this);
    if (name !== null) this.setAttribute('aria-label', name);
    if (role !== undefined) {
      this.setAttribute('role', role);
      this.removeAttribute('aria-live');
    }
  };
}

/** Call it before the page is filled. */
export function registerToolkit(): void {
  for (const component of [TextField, TextArea, Checkbox, Radio, Dropdown, PanelTab])
    keepName(component as unknown as { prototype: Connecting });
  // A ring that announces itself at once would talk over everything.
  keepName(ProgressRing as unknown as { prototype: Connecting }, 'img');
  provideVSCodeDesignSystem().register(
    vsCodeBadge(),
    vsCodeButton(),
    vsCodeCheckbox(),
    vsCodeDropdown(),
    vsCodeLink(),
    vsCodeOption(),
    vsCodePanels(),
    vsCodePanelTab(),
    vsCodePanelView(),
    vsCodeProgressRing(),
    vsCodeRadio(),
    vsCodeRadioGroup(),
    vsCodeTag(),
    vsCodeTextArea(),
    vsCodeTextField(),
  );
}
