// Drives the SDKs for Node as an application would: reads one request a line, as JSON, and writes one outcome a line.
// `in_node.py` has the other side. Runs in the folder where the SDKs are installed.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "package.json"));
const OpenAI = require("openai");
const { Portkey, createHeaders } = require("portkey-ai");

const KEY = "PORTKEY_API_KEY";

function client({ sdk, base_url, config, max_retries, timeout }) {
  const options = { maxRetries: max_retries, timeout: timeout * 1000 };
  if (base_url) options.baseURL = base_url;
  if (sdk === "portkey-ai") return new Portkey({ ...options, apiKey: KEY, config });
  if (base_url) options.apiKey = "unused";
  return new OpenAI({ ...options, defaultHeaders: createHeaders({ apiKey: KEY, config }) });
}

async function chat(request) {
  const { messages, stream, params } = request;
  const answer = await client(request).chat.completions.create({ ...params, model: "gpt-4o", messages, stream });
  return stream ? await folded(answer) : said(answer);
}

function said({ id, choices: [{ message, finish_reason }], usage }) {
  const calls = message.tool_calls ?? [];
  return {
    id,
    text: message.content ?? "",
    tool_calls: calls.map((call) => [call.id, call.function.name, call.function.arguments]),
    finish_reason,
    tokens: usage?.total_tokens ?? null,
    pieces: [],
  };
}

async function folded(stream) {
  const all = { id: "", text: "", tool_calls: [], finish_reason: null, tokens: null, pieces: [] };
  for await (const chunk of stream) {
    all.id ||= chunk.id;
    all.tokens = chunk.usage?.total_tokens ?? all.tokens;
    for (const { delta, finish_reason } of chunk.choices) {
      all.finish_reason = finish_reason ?? all.finish_reason;
      if (delta.content) all.pieces.push(delta.content);
      for (const part of delta.tool_calls ?? []) {
        const call = (all.tool_calls[part.index] ??= ["", "", ""]);
        call[0] += part.id ?? "";
        call[1] += part.function?.name ?? "";
        call[2] += part.function?.arguments ?? "";
      }
    }
  }
  all.text = all.pieces.join("");
  return all;
}

async function stored({ method, id, params, ...options }) {
  const completions = client(options).chat.completions;
  if (method === "messages") return await completions.messages.list(id);
  if (method === "list") return await completions.list(params);
  if (method === "update") return await completions.update(id, params);
  return await completions[method](id);
}

function failure(error) {
  const kinds = [];
  for (let each = error.constructor; each?.name; each = Object.getPrototypeOf(each)) kinds.push(each.name);
  return { kinds, status: error.status ?? null, message: String(error.message) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { do: what, ...request } = JSON.parse(line);
  let outcome;
  try {
    const result = await (what === "chat" ? chat(request) : stored(request));
    outcome = { result };
  } catch (error) {
    outcome = { error: failure(error) };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}
