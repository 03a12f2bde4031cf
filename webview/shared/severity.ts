// How grave a problem is → the word that a screen reader says for its mark.
import { t } from './texts';

export function severityText(severity: 'error' | 'warning' | 'info'): string {
  return { error: t('error'), warning: t('warning'), info: t('info') }[severity];
}
