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

function sortable(table) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    if (head.dataset.sort === undefined) return;
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const number = head.dataset.sort === "number";
      const order = (a, b) => number ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b));
      const rows = [...table.tBodies[0].rows].sort((a, b) => up ? order(a, b) : order(b, a));
      table.tBodies[0].append(...rows);
    });
  });
}

function filters(form) {
  const fields = [...form.querySelectorAll("input, select")];
  const said = form.querySelector("output");
  const apply = () => {
    let shown = 0;
    document.querySelectorAll("tr[data-row]").forEach((row) => {
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
  const read = () => { fields.forEach((field) => { field.value = parameters().get(field.name) ?? ""; }); apply(); };
  form.addEventListener("input", () => { fields.forEach((field) => remember(field.name, field.value.trim())); apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", read);
  form.hidden = false;
  read();
}

function compare(place) {
  const kernels = new Map([...document.querySelectorAll("tr[data-kernel]")].map((row) => [row.dataset.kernel, row]));
  const pickers = [...place.querySelectorAll("select")];
  const table = place.querySelector("tbody");
  const said = place.querySelector("output");
  const cell = (text, number) => { const made = document.createElement("td"); made.textContent = text; if (number) made.className = "n"; return made; };
  const show = () => {
    table.replaceChildren();
    const [a, b] = pickers.map((picker) => kernels.get(picker.value));
    said.textContent = "";
    if (!a || !b) return;
    if (a.dataset.board !== b.dataset.board) {
      said.textContent = "These two cannot be compared: they differ in task, target or source of times.";
      return;
    }
    const times = [a, b].map((row) => new Map(JSON.parse(row.dataset.times)));
    for (const [workload, first] of times[0]) {
      const second = times[1].get(workload);
      if (second === undefined) continue;
      const row = document.createElement("tr");
      row.append(cell(workload), cell(first.toFixed(2), true), cell(second.toFixed(2), true), cell(`${(first / second).toFixed(2)}x`, true));
      table.append(row);
    }
    said.textContent = `Times in microseconds, ${a.dataset.source}.`;
  };
  const read = () => { pickers.forEach((picker) => { const wanted = parameters().get(picker.name); if (wanted && kernels.has(wanted)) picker.value = wanted; }); show(); };
  pickers.forEach((picker) => picker.addEventListener("change", () => { remember(picker.name, picker.value); show(); }));
  addEventListener("hashchange", read);
  place.hidden = false;
  read();
}

theme();
document.querySelectorAll("table[data-sortable]").forEach(sortable);
document.querySelectorAll("form.filters").forEach(filters);
document.querySelectorAll("#compare").forEach(compare);
