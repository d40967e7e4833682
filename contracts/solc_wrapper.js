#!/usr/bin/env node
// Lets forge use the compiler from npm: it expects a native solc that reads standard JSON.
// scripts/setup_node copies this file to $XDG_DATA_HOME/svm/VERSION/solc-VERSION inside .cache;
// VERSION is taken from the file's own name. soljson.js is loaded directly, so that none of the
// package's JavaScript dependencies is needed.
"use strict";
const fs = require("fs");
const path = require("path");

const version = path.basename(__filename).replace(/^solc-/, "");
const root = path.resolve(__dirname, "..", "..", "..", "..");
process.removeAllListeners("uncaughtException");
const soljson = require(path.join(root, "node_modules", `solc-${version}`, "soljson.js"));

if (process.argv.includes("--version")) {
  const long = soljson.cwrap("solidity_version", "string", [])();
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${long.replace("Emscripten.clang", "Linux.g++")}`);
} else {
  const compile = soljson.cwrap("solidity_compile", "string", ["string", "number", "number"]);
  const output = compile(fs.readFileSync(0, "utf8"), 0, 0);
  const bytes = Buffer.from(output);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}
process.exit(0);
