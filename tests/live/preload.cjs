// Loaded into the gateway's process before the gateway, for two things it has no option for.
"use strict";

const net = require("node:net");

// It would listen on every interface, and it forwards to any loopback address without asking for a key.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, typeof port === "number" ? (host ?? "127.0.0.1") : host, ...rest);
};

// Standard input is a pipe held by the process that started it: it closes however that process ends.
process.stdin.on("close", () => process.exit(0)).resume();
