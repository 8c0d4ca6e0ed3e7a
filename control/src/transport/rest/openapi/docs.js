// Sends the calls that the page at /docs describes. The key stands in a field of that page: it is stored nowhere, and sent
// to this API alone.
"use strict";

const MOST = 200000; // characters of an answer that are shown
const key = document.getElementById("key");

/** The page opens what its address names. */
function reveal() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
}

/** What a form asks for: the address, and what fetch is told beside it. */
function asked(form) {
  const headers = {};
  const query = new URLSearchParams();
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-in]")) {
    const value = field.value.trim();
    if (field.dataset.in === "path") {
      if (value === "") throw new Error(`${field.name} is empty: the path needs it`);
      path = path.replace(`{${field.name}}`, value.split("/").map(encodeURIComponent).join("/"));
    } else if (value !== "" && field.dataset.in === "query") {
      query.set(field.name, value);
    } else if (value !== "") {
      headers[field.name] = value;
    }
  }
  if (key.value.trim() !== "") headers.Authorization = `Bearer ${key.value.trim()}`;
  const told = { method: form.dataset.method, headers, cache: "no-store", credentials: "omit" };
  const body = form.querySelector("textarea");
  if (body) {
    headers["Content-Type"] = "application/json";
    told.body = body.value;
  }
  return { address: query.size > 0 ? `${path}?${query}` : path, told };
}

/** JSON in lines of its own; any other text as it is. */
function legible(text, kind) {
  if (!/^application\/(problem\+)?json\b/.test(kind)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function send(form, shown, signal) {
  const { address, told } = asked(form);
  shown.textContent = `${told.method} ${address}\n…`;
  const answer = await fetch(address, { ...told, signal });
  const kind = answer.headers.get("content-type") ?? "";
  const head = [`${told.method} ${address}`, `${answer.status} ${answer.statusText}`.trim()];
  for (const name of ["etag", "location", "retry-after", "ratelimit", "x-request-id"]) {
    if (answer.headers.has(name)) head.push(`${name}: ${answer.headers.get(name)}`);
  }
  const before = `${head.join("\n")}\n\n`;
  shown.textContent = before;
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
    text += part.value;
    if (text.length > MOST) {
      await reader.cancel();
      text = `${text.slice(0, MOST)}\n… the rest is not shown`;
      break;
    }
    shown.textContent = before + text;
  }
  shown.textContent = before + legible(text, kind);
}

for (const form of document.querySelectorAll("form")) {
  const [button, stop, shown] = ["button", ".stop", ".answer"].map((one) => form.querySelector(one));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const way = new AbortController();
    stop.onclick = () => way.abort();
    [button.disabled, stop.hidden, shown.hidden, shown.textContent] = [true, false, false, ""];
    try {
      await send(form, shown, way.signal);
    } catch (fault) {
      shown.textContent += way.signal.aborted ? "\n(stopped)" : `\nNo answer: ${fault.message}`;
    }
    [button.disabled, stop.hidden] = [false, true];
  });
}

addEventListener("hashchange", reveal);
reveal();
