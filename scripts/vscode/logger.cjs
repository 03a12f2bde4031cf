// Takes the place of the editor's native logger, so that the harness needs no compiler: the same lines into the same files.
const { appendFileSync, mkdirSync } = require('node:fs');
const { dirname } = require('node:path');

const levels = ['trace', 'debug', 'info', 'warning', 'error', 'critical'];

class Logger {
  level = 2;
  bare = false;

  constructor(_kind, _name, path) {
    this.path = path;
  }
  write(level, text) {
    if (level < this.level || this.path === undefined) return;
    const line = this.bare
      ? text
      : `${new Date().toISOString().replace('T', ' ').slice(0, -1)} [${levels[level]}] ${text}\n`;
    try {
      appendFileSync(this.path, line);
    } catch {
      // A line of a log is never worth a crash.
    }
  }
  trace(text) {
    this.write(0, text);
  }
  debug(text) {
    this.write(1, text);
  }
  info(text) {
    this.write(2, text);
  }
  warn(text) {
    this.write(3, text);
  }
  error(text) {
    this.write(4, text);
  }
  critical(text) {
    this.write(5, text);
  }
  getLevel() {
    return this.level;
  }
  setLevel(level) {
    this.level = level;
  }
  setPattern() {
    this.bare = false;
  }
  clearFormatters() {
    this.bare = true;
  }
  flush() {}
  drop() {
    this.path = undefined;
  }
}

async function create(_name, path) {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, '');
  return new Logger('', '', path);
}

// Assigned one by one: that is how a module loader sees the names of a CommonJS file.
exports.version = 0;
exports.Logger = Logger;
exports.setLevel = () => {};
exports.setFlushOn = () => {};
exports.shutdown = () => {};
exports.createRotatingLogger = create;
exports.createAsyncRotatingLogger = create;
