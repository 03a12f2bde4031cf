// A trainer that cannot even start.
console.error("Error: Cannot find module 'koffi'");
process.exit(3);
