// What a check found, line by line as it goes on.

export class Report {
  passed = 0;
  failures = [];

  /** One thing that must hold. */
  check(what, ok, detail = '') {
    if (ok) this.passed++;
    else this.failures.push(`${what} ${detail}`);
    console.log(`  ${ok ? '✔' : '✖'} ${what}${detail ? ` (${detail})` : ''}`);
    return ok;
  }

  /** A list of findings that must be empty. */
  none(what, findings) {
    return this.check(what, findings.length === 0, findings.join('\n      '));
  }

  /** What another report found counts here too. */
  add({ passed, failures }) {
    this.passed += passed;
    this.failures.push(...failures);
  }

  /** A figure for the reader; nothing depends on it. */
  note(what, value) {
    console.log(`    ${what}: ${value}`);
  }
}
