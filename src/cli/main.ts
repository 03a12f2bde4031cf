// The terminal's entry: runs the command line and ends with its exit code.
import { reportFailure } from './failure';
import { runProgram } from './program';
import { Terminal } from './terminal';

// A reader that went away (| head) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const args = process.argv.slice(2);
const terminal = new Terminal({ json: args.includes('--json') });
runProgram(args, terminal).then(
  (code) => {
    process.exitCode = code;
  },
  (cause: unknown) => {
    process.exitCode = reportFailure(cause, terminal);
  },
);
