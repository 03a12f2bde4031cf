// An extension for the checks alone: sets settings, runs commands and tells of editors when a check asks over HTTP on this
// machine. What a check is about it does by mouse and keyboard; this is for getting there.
const { renameSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const vscode = require('vscode');

const tabsOf = () =>
  vscode.window.tabGroups.all.flatMap(({ tabs }) =>
    tabs.map(({ label, isActive, isDirty }) => ({ label, isActive, isDirty })),
  );

const answers = {
  ping: () => true,
  /** Arguments of the form { path } become addresses of files. */
  command: async ({ id, args = [] }) => {
    const given = args.map((one) => (typeof one?.path === 'string' ? vscode.Uri.file(one.path) : one));
    await vscode.commands.executeCommand(id, ...given);
    return true;
  },
  setting: async ({ key, value }) => {
    await vscode.workspace.getConfiguration().update(key, value, vscode.ConfigurationTarget.Global);
    return true;
  },
  tabs: tabsOf,
  diagnostics: ({ path }) =>
    vscode.languages.getDiagnostics(vscode.Uri.file(path)).map(({ message, range }) => ({
      message,
      line: range.start.line + 1,
    })),
  commands: () => vscode.commands.getCommands(true),
  clipboard: () => vscode.env.clipboard.readText(),
  runs: async () => {
    const { exports } = vscode.extensions.getExtension('lora-workbench.lora-workbench');
    return exports.services.runs.all.map(({ id, name, state, step, checkpoints, pid }) => ({
      id,
      name,
      state,
      step,
      checkpoints: checkpoints.length,
      pid,
    }));
  },
};

exports.activate = () => {
  const place = process.env.LORA_UI_DRIVER;
  if (place === undefined) return undefined;
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const part of request) text += part;
    const reply = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    try {
      const { what, ...rest } = JSON.parse(text);
      reply(200, { result: (await answers[what](rest)) ?? null });
    } catch (cause) {
      reply(500, { error: String(cause?.stack ?? cause) });
    }
  });
  server.listen(0, '127.0.0.1', () => {
    // Whole or not at all: a check may read at any moment.
    writeFileSync(`${place}.part`, String(server.address().port));
    renameSync(`${place}.part`, place);
  });
  return { dispose: () => server.close() };
};
