// The one script of the control room. Pages are made by the server; this keeps their parts fresh, draws charts, and sends forms.
// A part of a page says by attributes what it wants:
//   data-src="/ui/queue" data-bells="queue decisions"   load this fragment, and again whenever one of these bells rings
//   data-chart="/ui/charts/equity" data-bells="equity"  the same for a chart
//   data-again="2000" within a fragment                 load it once more after so many ms, while it says so
//   form data-api="POST /api/v1/kill"                   send its fields as JSON; a 428 asks the person first
//   form data-into="#id"                               show the fragment at its action, with its fields, there
//   form data-preview="/ui/…" data-preview-host="#id"   show there what its fields would come to, while one types
//   form data-stream="/api/v1/…" data-host="#id"        send its fields, and read the answer there while it comes
//   a data-drawer="/ui/decisions/ID"                    open the fragment beside the page; the href works without this script

const THROTTLE_MS = 250, LATE_S = 10, LOST_S = 30, RETRY_MS = 2000, PREVIEW_MS = 400;
const root = document.documentElement, body = document.body;
const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) name in made && name !== "list" ? (made[name] = value) : made.setAttribute(name, value);
  made.append(...children);
  return made;
};

// What went wrong, as a problem document says it, whatever it was.
async function problemOf(answer) {
  try { return await answer.json(); } catch { return { title: answer.statusText || "No answer", detail: "", status: answer.status }; }
}
const told = (problem) => [problem.title, problem.detail].filter(Boolean).join(": ");

// ---- fragments

const waiting = new WeakMap();
function refresh(part) {
  const held = waiting.get(part);
  if (held?.running) { held.again = true; return held.done; }
  const state = { running: true, again: false };
  waiting.set(part, state);
  state.done = load(part).finally(() => setTimeout(() => {
    state.running = false;
    if (state.again && part.isConnected) refreshUnlessEdited(part);
  }, THROTTLE_MS));
  return state.done;
}

async function load(part) {
  if (part.dataset.coming || !(part.dataset.chart || part.dataset.src)) return;
  if (part.dataset.chart) return drawChart(part);
  const { src } = part.dataset, before = edited(part);
  part.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(src, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.status === 401) return leave();
    const text = answer.ok ? await answer.text() : "", problem = answer.ok ? null : await problemOf(answer);
    if (part.dataset.src !== src) return; // it shows something else by now
    if (!before && edited(part)) { part.dataset.missed = "true"; return; } // somebody began to type meanwhile
    if (problem) return failed(part, problem);
    swap(part, text);
    const again = $("[data-again]", part);
    if (again) setTimeout(() => part.isConnected && refreshUnlessEdited(part), Number(again.dataset.again));
  } catch (error) {
    if (edited(part)) { part.dataset.missed = "true"; return; } // what is typed there outlives a network that is away
    failed(part, { title: "The control room does not answer", detail: "trying again" });
    setTimeout(() => part.isConnected && refresh(part), RETRY_MS);
  } finally { part.removeAttribute("aria-busy"); }
}

function swap(part, text) {
  if (part.dataset.last === text.length + ":" + hash(text)) return;
  part.dataset.last = text.length + ":" + hash(text);
  const open = new Set($$("details[open][id]", part).map((one) => one.id));
  const refocus = focusIn(part);
  const known = new Set($$("[data-key]", part).map((one) => one.dataset.key));
  part.innerHTML = text;
  for (const one of $$("details[id]", part)) if (open.has(one.id)) one.open = true;
  if (known.size) for (const one of $$("[data-key]", part)) if (!known.has(one.dataset.key)) one.classList.add("arrived");
  refocus();
  adopt(part);
  part.dispatchEvent(new CustomEvent("swapped", { bubbles: true }));
}

// Whoever is in a part by keyboard stays there: at the same element, the same link, or at least the same place.
function focusIn(part) {
  const active = document.activeElement;
  if (!part.contains(active)) return () => {};
  const stops = () => $$("a[href],button,input,select,textarea,summary,[tabindex]", part);
  const { id } = active, href = active.getAttribute("href"), index = stops().indexOf(active);
  return () => {
    const now = stops();
    const one = now.find((each) => id && each.id === id) ?? now.find((each) => href && each.getAttribute("href") === href) ?? now[index];
    one?.focus({ preventScroll: true });
  };
}

function hash(text) {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) | 0;
  return sum;
}

function failed(part, problem) {
  delete part.dataset.last;
  const again = element("button", { type: "button", textContent: "Try again", onclick: () => refresh(part) });
  part.replaceChildren(element("div", { className: "panel-error", role: "alert" }, element("p", { textContent: told(problem) }), again));
}

const leave = () => location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));

// ---- charts: figures come from the server, plotly's library is fetched with the first of them

let library;
const plotly = () => (library ??= new Promise((done, refused) => {
  const script = element("script", { src: body.dataset.plotly });
  script.onload = () => done(window.Plotly);
  script.onerror = () => { library = undefined; refused(new Error("plotly")); };
  document.head.append(script);
}));
const dark = () => root.dataset.theme === "dark" || (root.dataset.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);

async function drawChart(part) {
  part.setAttribute("aria-busy", "true");
  try {
    const address = new URL(part.dataset.chart, location.href);
    address.searchParams.set("theme", dark() ? "dark" : "light");
    const [answer, Plotly] = await Promise.all([fetch(address, { headers: { Accept: "application/json" } }), plotly()]);
    if (answer.status === 401) return leave();
    if (!answer.ok) return failed(part, await problemOf(answer));
    const text = await answer.text();
    if (part.dataset.last === text.length + ":" + hash(text)) return;
    part.dataset.last = text.length + ":" + hash(text);
    const { figure, summary, table } = JSON.parse(text);
    let plot = $(":scope > .plot", part);
    if (!plot) { plot = element("div", { className: "plot" }); part.replaceChildren(plot, element("div", { className: "words" })); }
    plot.setAttribute("role", "group"); // not img: its buttons can be reached
    plot.setAttribute("aria-label", summary);
    await Plotly.react(plot, figure.data, figure.layout, { displaylogo: false, responsive: true, displayModeBar: "hover" });
    describe($(":scope > .words", part), summary, table);
    part.dataset.drawn = "true";
  } catch (error) {
    failed(part, { title: "The chart cannot be drawn", detail: String(error.message || error) });
  } finally { part.removeAttribute("aria-busy"); }
}

// The chart in words and as a table, for whoever cannot see it.
function describe(host, summary, table) {
  const open = $("details", host)?.open ?? false;
  const numeric = new Set(table.numeric);
  const head = element("tr", {}, ...table.columns.map((name, column) => element("th", { scope: "col", className: numeric.has(column) ? "num" : "", textContent: name })));
  const rows = table.rows.map((row) => element("tr", {}, ...row.map((cell, column) => element("td", { className: numeric.has(column) ? "num" : "", textContent: cell ?? "–" }))));
  const made = element("table", { className: "data" }, element("thead", {}, head), element("tbody", {}, ...rows));
  const words = element("details", { open }, element("summary", { textContent: "As a table" }), element("p", { textContent: summary }), element("div", { className: "scroll", tabIndex: 0 }, made));
  host.replaceChildren(words);
}

// ---- the doorbell: one stream for the tab, closed while nobody looks

let stream, listening = new Map(), lastHeard = Date.now(), wasOpen = false;
const parts = () => $$("[data-src],[data-chart]");
const folded = (part) => part.closest("details:not([open])") !== null;
const refreshAll = () => parts().filter((part) => part.dataset.bells !== undefined).forEach(refreshUnlessEdited);

// What somebody is typing into is left alone until they are done, and a little longer: the button beside it must still be there.
const GRACE_MS = 3000, typedAt = new WeakMap();
const typing = (part) => part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
const sending = (part) => $("form[aria-busy]", part) !== null;
const edited = (part) => typing(part) || sending(part) || Date.now() - (typedAt.get(part) ?? 0) < GRACE_MS;
document.addEventListener("input", (event) => {
  const part = event.target.closest("[data-src]");
  if (!part) return;
  typedAt.set(part, Date.now());
  setTimeout(catchUp, GRACE_MS + THROTTLE_MS);
});
function catchUp() {
  for (const part of $$("[data-missed]")) if (!edited(part)) { delete part.dataset.missed; refresh(part); }
}
function refreshUnlessEdited(part) {
  if (edited(part)) part.dataset.missed = "true";
  else refresh(part);
}
document.addEventListener("focusout", () => setTimeout(catchUp, THROTTLE_MS));

function ring(bell, event) {
  lastHeard = Date.now();
  for (const part of parts()) if ((part.dataset.bells ?? "").split(" ").includes(bell)) refreshUnlessEdited(part);
  document.dispatchEvent(new CustomEvent("bell", { detail: { bell, data: event?.data } }));
}

function listen(bell) {
  if (!bell || listening.has(bell)) return;
  const heard = (event) => ring(bell, event);
  listening.set(bell, heard);
  stream?.addEventListener(bell, heard);
}

function connect() {
  if (stream || document.hidden || !body.dataset.events) return;
  stream = new EventSource(body.dataset.events);
  stream.onopen = () => { lastHeard = Date.now(); if (wasOpen) refreshAll(); wasOpen = true; };
  stream.onmessage = () => { lastHeard = Date.now(); };
  for (const [bell, heard] of listening) stream.addEventListener(bell, heard);
  stream.addEventListener("hello", (event) => { lastHeard = Date.now(); greet(JSON.parse(event.data)); });
  stream.addEventListener("pulse", () => { lastHeard = Date.now(); });
  stream.addEventListener("resync", () => { lastHeard = Date.now(); refreshAll(); });
  stream.onerror = () => { if (stream?.readyState === EventSource.CLOSED) { disconnect(); setTimeout(connect, RETRY_MS); } };
}
function disconnect() { stream?.close(); stream = undefined; }

// A page made in one run, or in none, must not show another world's badge, and lacks what only a running bot has.
function greet(hello) {
  const { run, alive } = hello.world ?? {};
  if (alive && run !== body.dataset.run) location.reload();
}
// Of which run the page is: the server refuses what was decided on a page of another one, or of none.
const ofRun = () => ({ "X-Run": body.dataset.run || "none" });

// ---- forms

function fieldsOf(form, all = false) {
  const sent = {};
  for (const field of form.elements) {
    if ("previewOnly" in field.dataset && !all) continue;
    if (!field.name || field.disabled || field.type === "submit" || (field.type === "radio" && !field.checked)) continue;
    const value = field.type === "checkbox" ? field.checked : field.value;
    const kind = field.dataset.type ?? (field.type === "number" ? "number" : "");
    if (value === "" && !("keepEmpty" in field.dataset)) continue;
    place(sent, field.name.split("."), typed(value, kind));
  }
  return sent;
}
function typed(value, kind) {
  if (kind === "number") return Number(value);
  if (kind === "json") return JSON.parse(value);
  if (kind === "loose") { try { return JSON.parse(value); } catch { return value; } }
  if (kind === "list") return String(value).split(/[\s,]+/).filter(Boolean);
  if (kind === "time") return Date.parse(value + "Z");
  return value;
}
function place(target, path, value) {
  for (const name of path.slice(0, -1)) target = target[name] ??= {};
  target[path.at(-1)] = value;
}

async function send(form, submitter) {
  const said = $("[role=alert]", form) ?? form.appendChild(element("p", { className: "alert", role: "alert" }));
  const done = $(".done", form);
  said.textContent = "";
  if (done) done.textContent = "";
  // What stands in a part that is read again would be gone before anybody has read it.
  const fail = (text) => { said.textContent = text; if (!form.isConnected || form.closest("[data-src]")) toast(text, "bad"); };
  let sent;
  try { sent = fieldsOf(form); } catch (error) { said.textContent = "One of the fields is not JSON: " + error.message; return; }
  if (submitter?.name) place(sent, submitter.name.split("."), typed(submitter.value, submitter.dataset.type));
  let [method, address] = (submitter?.dataset.api ?? form.dataset.api).split(" ");
  address = address.replace(/\{(\w+)\}/g, (_, name) => { const value = sent[name]; delete sent[name]; return encodeURIComponent(value); });
  const buttons = $$("button", form).filter((one) => !one.disabled);
  buttons.forEach((one) => (one.disabled = true));
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await call(method, address, sent, { "Idempotency-Key": keyOf(form, method + address + JSON.stringify(sent)), ...(form.dataset.match ? { "If-Match": form.dataset.match } : {}) });
    const problem = answer && !answer.ok ? await problemOf(answer) : null;
    const open = answer?.status === 503 || problem?.title === "Still being done" || (problem?.unknown && problem.title !== "Nobody knows");
    if (!open) unsure.delete(form);
    if (answer === null) return;
    if (problem) { fail(told(problem)); return; }
    const result = answer.status === 204 ? {} : await answer.json();
    succeed(form, result, done);
  } catch (error) { fail("The control room does not answer: it may or may not have been done. Look before you repeat it."); }
  finally { buttons.forEach((one) => (one.disabled = false)); form.removeAttribute("aria-busy"); setTimeout(catchUp, THROTTLE_MS); }
}

// What may have been done, for nobody answered, is repeated under its key of before: then it is done once all the same.
const unsure = new WeakMap();
function keyOf(form, what) {
  if (unsure.get(form)?.what !== what) unsure.set(form, { what, key: newKey() });
  return unsure.get(form).key;
}

// A form that only asks: the fragment at its address, with its fields, is shown in the element that it names.
function look(form) {
  const host = $(form.dataset.into);
  host.dataset.src = form.getAttribute("action") + "?" + new URLSearchParams(new FormData(form));
  delete host.dataset.last;
  refresh(host);
}

// By plain HTTP a browser has no randomUUID but on this machine itself, and a phone must be able to stop trading too.
const newKey = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// One call; where the server wants to be sure, the person is asked and the same call is repeated with what they confirmed.
export async function call(method, address, sent, extra = {}) {
  const headers = { Accept: "application/json", "X-CSRF-Token": csrf, ...extra };
  if (method !== "GET") { headers["Content-Type"] = "application/json"; headers["Idempotency-Key"] ??= newKey(); Object.assign(headers, ofRun()); }
  const answer = await fetch(address, { method, headers, credentials: "same-origin", body: method === "GET" ? undefined : JSON.stringify(sent) });
  if (answer.status === 401) { leave(); return null; }
  if (answer.status !== 428 || extra.Confirmation) return answer;
  const problem = await answer.json();
  if (!(await confirmed(problem.text ?? problem.detail))) return null;
  return call(method, address, sent, { ...extra, Confirmation: problem.confirmation });
}

// One question at a time: a "Yes" is to the words that stand there.
let asking = Promise.resolve();
const confirmed = (text) => (asking = asking.catch(() => {}).then(() => askOnce(text)));
function askOnce(text) {
  const dialog = $("#confirm");
  $(".text", dialog).textContent = text;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

function succeed(form, result, done) {
  if (form.dataset.then === "reload") return location.reload();
  if (form.dataset.then?.startsWith("/")) return location.assign(form.dataset.then.replace(/\{([\w.]+)\}/g, (_, path) => encodeURIComponent(path.split(".").reduce((at, name) => at?.[name], result) ?? "")));
  if (result.job && form.dataset.job) follow($(form.dataset.job), result.job);
  else if (done) done.textContent = form.dataset.done ?? "Done.";
  else toast(form.dataset.done ?? "Done.");
  for (const one of $$("[data-result]", form)) one.textContent = result[one.dataset.result] ?? "";
  if ("reset" in form.dataset) form.reset();
  (form.dataset.refresh ?? "").split(" ").filter(Boolean).forEach((selector) => $$(selector).forEach(refresh));
  form.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: result }));
}

// ---- what a form would come to, asked while one types; only the newest answer is shown

const previews = new WeakMap();
function preview(form, wait = PREVIEW_MS) {
  const held = previews.get(form) ?? { number: 0 };
  previews.set(form, held);
  clearTimeout(held.timer);
  held.timer = setTimeout(() => showPreview(form, held, ++held.number), wait);
}
async function showPreview(form, held, number) {
  const host = $(form.dataset.previewHost);
  host.setAttribute("aria-busy", "true");
  try {
    const answer = await post(form.dataset.preview, fieldsOf(form, true), "text/html");
    if (number !== held.number) return;
    if (answer.status === 401) return leave();
    if (answer.ok) swap(host, await answer.text());
    else host.replaceChildren(element("p", { className: "alert", textContent: told(await problemOf(answer)) }));
  } catch { if (number === held.number) host.replaceChildren(element("p", { className: "alert", textContent: "The control room does not answer." })); }
  finally { if (number === held.number) host.removeAttribute("aria-busy"); }
}
const post = (address, sent, accept) => fetch(address, { method: "POST", headers: { Accept: accept, "Content-Type": "application/json", "X-CSRF-Token": csrf, ...ofRun() }, credentials: "same-origin", body: JSON.stringify(sent) });

// ---- an answer that is read while it comes: text is appended as text, and what is kept is asked for at its end

async function converse(form) {
  if (form.hasAttribute("aria-busy")) return; // Enter twice asks once
  const host = $(form.dataset.host), said = $("[role=alert]", form), sent = fieldsOf(form), button = $("button", form);
  said.textContent = "";
  const mine = element("div", { className: "said user", textContent: sent[form.dataset.said] ?? "" });
  const words = element("p", { className: "coming" }), stage = element("p", { className: "soft small stage", role: "status", textContent: "thinking…" });
  const theirs = element("div", { className: "said assistant" }, words, stage);
  $(".empty", host)?.remove();
  host.append(mine, theirs);
  theirs.scrollIntoView({ block: "end" });
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  host.dataset.coming = "yes";  // what rings meanwhile must not replace what is coming
  try {
    const answer = await post(form.dataset.stream, sent, "text/event-stream");
    if (answer.status === 401) return leave();
    if (!answer.ok) { theirs.remove(); mine.remove(); said.textContent = told(await problemOf(answer)); return; }
    form.reset();
    let ended = false;
    for await (const [kind, data] of eventsOf(answer)) {
      if (kind === "text") words.textContent += data.text;
      else if (kind === "stage") stage.textContent = data.stage + "…";
      else if (kind === "failed") { said.textContent = data.error; ended = true; }
      else if (kind === "answer") ended = true;
      theirs.scrollIntoView({ block: "end" });
    }
    if (!ended) said.textContent = "The answer broke off; what came of it is in the conversation.";
    delete host.dataset.coming;
    delete host.dataset.last;
    await refresh(host);
    host.lastElementChild?.scrollIntoView({ block: "end" });
  } catch { said.textContent = "The control room does not answer: look whether the answer came before you repeat it."; }
  finally { button.disabled = false; form.removeAttribute("aria-busy"); delete host.dataset.coming; }
}
async function* eventsOf(answer) {
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let held = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += decoder.decode(value, { stream: true });
    for (let end; (end = held.indexOf("\n\n")) >= 0; held = held.slice(end + 2)) {
      const lines = held.slice(0, end).split("\n");
      const data = lines.find((line) => line.startsWith("data: "));
      if (data) yield [lines.find((line) => line.startsWith("event: "))?.slice(7) ?? "message", JSON.parse(data.slice(6))];
    }
  }
}

// A job is followed by its own fragment, which stops asking by itself once it has ended.
function follow(host, job) {
  host.dataset.src = "/ui/jobs/" + encodeURIComponent(job) + (host.dataset.view ? "?view=" + encodeURIComponent(host.dataset.view) : "");
  host.dataset.bells = "jobs";
  listen("jobs");
  delete host.dataset.last;
  refresh(host);
  host.scrollIntoView({ block: "nearest" });
}

export function toast(text, kind = "good") {
  const one = element("div", { className: "notice " + kind, role: "status", textContent: text });
  $(".toasts").append(one);
  setTimeout(() => one.remove(), 6000);
}

// ---- the drawer

function drawer(address) {
  const dialog = $("#drawer"), host = $(".inside", dialog);
  host.replaceChildren(element("p", { className: "soft", textContent: "Loading…" }));
  host.dataset.src = address;
  delete host.dataset.last;
  if (!dialog.open) dialog.showModal();
  refresh(host);
}
$("#drawer")?.addEventListener("close", (event) => { delete $(".inside", event.target).dataset.src; }); // nobody waits for it any more

// ---- what is new on the page: from the server's first answer, or swapped in later

function adopt(within) {
  $$("form[data-preview]", within).forEach((form) => preview(form, 0));
  for (const part of $$("[data-src],[data-chart]", within)) {
    (part.dataset.bells ?? "").split(" ").forEach(listen);
    if ((part.dataset.chart || !part.firstElementChild) && !folded(part)) refresh(part);
  }
  for (const one of $$("time[datetime]", within)) {
    if (one.dataset.local) continue;
    one.dataset.local = "true";
    one.title += "\n" + new Date(one.dateTime).toLocaleString() + " here";
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.into) { event.preventDefault(); look(form); return; }
  if (form.dataset.stream) { event.preventDefault(); converse(form); return; }
  if (!form.dataset.api && !event.submitter?.dataset.api) return;
  event.preventDefault();
  send(form, event.submitter);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-drawer]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) { event.preventDefault(); drawer(link.dataset.drawer); return; }
  const close = event.target.closest("[data-close]");
  if (close) close.closest("dialog").close(close.dataset.close);
  const burger = event.target.closest(".burger");
  if (burger) burger.setAttribute("aria-expanded", String($(".menu").classList.toggle("open")));
  const copy = event.target.closest("[data-copy]");
  if (copy) navigator.clipboard?.writeText(copy.dataset.copy).then(() => toast("Copied."));
  const theme = event.target.closest("[data-theme-switch]");
  if (theme) chooseTheme(dark() ? "light" : "dark");
});
// A host that follows a job names in data-after what is to be read again once it has ended.
document.addEventListener("swapped", (event) => {
  const { after } = event.target.dataset;
  if (after && !$("progress", event.target)) $$(after).forEach(refresh);
});
document.addEventListener("change", (event) => {
  const field = event.target;
  if (field.matches("[data-theme-choice]")) chooseTheme(field.value);
  if (field.form?.matches("[data-auto]")) field.form.requestSubmit();
});

document.addEventListener("input", (event) => event.target.form?.dataset.preview && preview(event.target.form));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.repeat || event.shiftKey || event.isComposing || !event.target.matches("textarea[data-enter]")) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});

function chooseTheme(name) {
  root.dataset.theme = name;
  document.cookie = "theme=" + name + "; path=/; max-age=31536000; samesite=strict";
  for (const part of $$("[data-chart]")) { delete part.dataset.last; refresh(part); }
}

setInterval(() => {
  const age = Math.round((Date.now() - lastHeard) / 1000), fresh = $("#fresh");
  if (!fresh) return;
  fresh.dataset.age = age >= LOST_S ? "lost" : age >= LATE_S ? "late" : "good";
  fresh.textContent = age >= LOST_S ? `no news for ${age} s` : `updated ${age} s ago`;
}, 1000);

document.addEventListener("visibilitychange", () => { if (document.hidden) disconnect(); else { connect(); } });
// What is folded away is loaded when it is opened.
document.addEventListener("toggle", (event) => {
  if (event.target.open) $$("[data-src],[data-chart]", event.target).filter((part) => !part.dataset.last).forEach(refresh);
}, true);
addEventListener("pagehide", disconnect);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => root.dataset.theme === "auto" && chooseTheme("auto"));
["link", "risk"].forEach(listen);
adopt(document);
connect();
