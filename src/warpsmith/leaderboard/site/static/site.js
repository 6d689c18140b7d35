"use strict";
const root = document.documentElement;
const remembered = {
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* a browser may forbid it for files */ } },
};

function theme() {
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const show = () => { button.setAttribute("aria-pressed", String(dark())); };
  const kept = remembered.get("warpsmith-theme");
  if (kept) root.dataset.theme = kept;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered.set("warpsmith-theme", root.dataset.theme);
    show();
  });
  show();
}

const parameters = () => new URLSearchParams(location.hash.slice(1));
function remember(name, value) {
  const all = parameters();
  if (value) all.set(name, value); else all.delete(name);
  history.replaceState(null, "", `#${all}`);
}

/* Sorting. What a person chose is kept by table, so that a table that came anew is sorted as the old one was. */
const chosen = new Map();
const nameOf = (table) => table.closest("[aria-label]")?.getAttribute("aria-label") ?? "";

function order(table, column, up) {
  const head = table.tHead.rows[0].cells[column];
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const number = head.dataset.sort === "number";
  const compare = (a, b) => number ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b));
  const rows = [...table.tBodies[0].rows].sort((a, b) => up ? compare(a, b) : compare(b, a));
  table.tBodies[0].append(...rows);
}

function sortable(table) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (head.dataset.sort === undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      chosen.set(nameOf(table), [column, up]);
      order(table, column, up);
    });
  });
  const kept = chosen.get(nameOf(table));
  if (kept) order(table, ...kept);
}

/* Filters stand in the address, after #, so that they can be sent. */
let applyFilters = () => {};
function filters(form) {
  const fields = [...form.querySelectorAll("input, select")];
  const said = form.querySelector("output");
  applyFilters = () => {
    let shown = 0;
    document.querySelectorAll(`#${form.dataset.rows} tr[data-row]`).forEach((row) => {
      const keep = fields.every((field) => {
        const wanted = field.value.trim().toLowerCase();
        if (!wanted) return true;
        if (field.name === "text") return row.textContent.toLowerCase().includes(wanted);
        return (row.dataset[field.name] ?? "").toLowerCase() === wanted;
      });
      row.hidden = !keep;
      shown += keep ? 1 : 0;
    });
    said.textContent = `${shown} shown`;
  };
  const read = () => { fields.forEach((field) => { field.value = parameters().get(field.name) ?? ""; }); applyFilters(); };
  form.addEventListener("input", () => { fields.forEach((field) => remember(field.name, field.value.trim())); applyFilters(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", read);
  form.hidden = false;
  read();
}

/* Two kernels of one ranking, from the facts that the page holds. */
function compare(place) {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const kernels = new Map(facts.kernels.map((it, at) => [it[0], { rank: at + 1, digest: it[0], fraction: it[1], seed: it[2], coder: it[3], day: it[4], times: it[5] }]));
  const pickers = [...place.querySelectorAll("select")];
  const table = place.querySelector("tbody");
  const said = place.querySelector("output");
  for (const [index, picker] of pickers.entries()) {
    picker.append(...[...kernels.values()].map((it) => new Option(`#${it.rank}  ${it.digest}  ${(it.fraction * 100).toFixed(1)}%`, it.digest)));
    picker.selectedIndex = Math.min(index, kernels.size - 1);
  }
  const cell = (content, number) => {
    const made = document.createElement("td");
    made.append(content);
    if (number) made.className = "n";
    return made;
  };
  const line = (name, values, ratio) => {
    const row = document.createElement("tr");
    row.append(cell(name), ...values.map((value) => cell(value, true)), cell(ratio ?? "", true));
    table.append(row);
  };
  const link = (it) => {
    const made = document.createElement("a");
    made.href = `${place.dataset.up}kernels/${it.digest}.html`;
    made.className = "mono";
    made.textContent = it.digest;
    return made;
  };
  const over = (a, b) => a && b ? `${(a / b).toFixed(2)}x` : "-";
  const show = () => {
    table.replaceChildren();
    const pair = pickers.map((picker) => kernels.get(picker.value));
    if (pair.includes(undefined)) return;
    const [a, b] = pair;
    line("Kernel", pair.map(link));
    line("Rank", pair.map((it) => `${it.rank}`));
    line("Of bound", pair.map((it) => `${(it.fraction * 100).toFixed(1)}%`), over(a.fraction, b.fraction));
    line("Over naive seed", pair.map((it) => it.seed ? `${it.seed.toFixed(2)}x` : "-"), over(a.seed, b.seed));
    line("Coder", pair.map((it) => it.coder));
    line("Accepted", pair.map((it) => it.day));
    facts.workloads.forEach((workload, at) => {
      const times = pair.map((it) => it.times[at]);
      if (times.some((time) => time !== null)) line(`${workload}, us`, times.map((time) => time === null ? "-" : time.toFixed(2)), over(...times));
    });
    const faster = facts.workloads.filter((_, at) => a.times[at] !== null && b.times[at] !== null && a.times[at] < b.times[at]).length;
    said.textContent = `Times in microseconds, ${place.dataset.source}. The first is the faster one at ${faster} of ${facts.workloads.length} workloads.`;
  };
  const read = () => { pickers.forEach((picker) => { const wanted = parameters().get(picker.name); if (wanted && kernels.has(wanted)) picker.value = wanted; }); show(); };
  const keep = () => { pickers.forEach((picker) => remember(picker.name, picker.value)); show(); };
  pickers.forEach((picker) => picker.addEventListener("change", keep));
  document.getElementById("swap").addEventListener("click", () => {
    [pickers[0].value, pickers[1].value] = [pickers[1].value, pickers[0].value];
    keep();
  });
  addEventListener("hashchange", read);
  place.hidden = false;
  read();
}

/* A page of `warpsmith serve` asks for itself again, and takes over the parts that have changed. */
const EVERY_MS = 1000;
function live(said) {
  const parts = () => [...document.querySelectorAll("[data-live][id]")];
  const before = new Map(parts().map((part) => [part.id, part.innerHTML]));
  let tag = "";
  const tell = (lost) => {
    said.classList.toggle("lost", lost);
    const text = lost ? `No answer since ${new Date().toLocaleTimeString()}` : "Live";
    const place = said.lastElementChild;
    if (lost !== place.textContent.startsWith("No")) place.textContent = text;
  };
  const replace = (part, fresh) => {
    const within = part.contains(document.activeElement) ? document.activeElement : null;
    const focused = within && { tag: within.tagName, text: within.textContent };
    const scrolled = [part.scrollLeft, part.scrollTop];
    part.innerHTML = fresh.innerHTML;
    [part.scrollLeft, part.scrollTop] = scrolled;
    part.querySelectorAll("table[data-sortable]").forEach(sortable);
    if (focused) [...part.querySelectorAll(focused.tag)].find((it) => it.textContent === focused.text)?.focus({ preventScroll: true });
  };
  const ask = async () => {
    try {
      const answer = await fetch(location.pathname, { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
      tell(false);
      if (answer.status !== 200) return;
      tag = answer.headers.get("ETag") ?? "";
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts()) {
        const found = fresh.getElementById(part.id);
        if (!found || found.innerHTML === before.get(part.id)) continue;
        before.set(part.id, found.innerHTML);
        replace(part, found);
      }
      applyFilters();
    } catch { tell(true); }
  };
  const again = async () => {
    if (!document.hidden) await ask();
    setTimeout(again, EVERY_MS);
  };
  setTimeout(again, EVERY_MS);
}

theme();
const waiting = document.documentElement.dataset.live !== undefined ? document.getElementById("live") : null;
if (waiting) live(waiting);
document.querySelectorAll("table[data-sortable]").forEach(sortable);
document.querySelectorAll("form.filters").forEach(filters);
document.querySelectorAll("#compare").forEach(compare);
