// Speaks the trainer's protocol, takes one step, then dies as native code dies.
process.on('message', ({ id }) => {
  process.stderr.write('loading the library\nlibonnx: bad access at 0x0\n');
  process.send(
    {
      kind: 'event',
      id,
      event: {
        type: 'step',
        step: 7,
        epoch: 0.1,
        loss: 1,
        learningRate: 1e-4,
        gradNorm: null,
        tokens: 1,
        tokensPerSecond: 1,
        peakMemoryBytes: 1,
        etaSeconds: null,
        time: new Date(0).toISOString(),
      },
    },
    () => process.kill(process.pid, process.argv[2] ?? process.env.FAKE_SIGNAL ?? 'SIGSEGV'),
  );
});
