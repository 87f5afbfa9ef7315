"use strict";
(() => {
  const table = document.getElementById("cells-table");
  const form = document.querySelector("form.filter");
  const input = document.getElementById("filter");
  const count = document.getElementById("filter-count");
  const heads = Array.from(table.tHead.rows[0].cells).filter((head) => head.querySelector("button"));
  const names = heads.map((head) => head.textContent.trim().toLowerCase());
  const rows = Array.from(table.tBodies[0].rows, (row, place) => {
    const texts = heads.map((_, column) => row.cells[column].textContent.toLowerCase());
    return { row, place, texts, whole: texts.join("\n") };
  });
  const words = new Intl.Collator("en", { numeric: true });

  // Rows without a value stand last in either order, and equal rows keep the order of the sweep.
  const compare = (column, isNumber, sign) => (a, b) => {
    const first = a.texts[column];
    const second = b.texts[column];
    if (first === second) return a.place - b.place;
    if (first === "" || second === "") return first === "" ? 1 : -1;
    return sign * (isNumber ? first - second : words.compare(first, second)) || a.place - b.place;
  };

  const sort = (column) => {
    const head = heads[column];
    const order = head.ariaSort === "ascending" ? "descending" : "ascending";
    for (const other of heads) other.ariaSort = "none";
    head.ariaSort = order;
    rows.sort(compare(column, head.classList.contains("number"), order === "ascending" ? 1 : -1));
    table.tBodies[0].append(...rows.map((entry) => entry.row));
  };

  const holds = (word) => {
    const [name, ...rest] = word.split("=");
    const column = rest.length ? names.indexOf(name) : -1;
    if (column < 0) return (entry) => entry.whole.includes(word);
    const value = rest.join("=");
    return (entry) => entry.texts[column] === value;
  };

  const filter = () => {
    const tests = input.value.toLowerCase().split(/\s+/).filter(Boolean).map(holds);
    let shown = 0;
    for (const entry of rows) {
      const kept = tests.every((test) => test(entry));
      if (entry.row.hidden === kept) entry.row.hidden = !kept;
      shown += kept;
    }
    const total = rows.length.toLocaleString("en");
    count.textContent = tests.length ? `${shown.toLocaleString("en")} of ${total} rows` : `${total} rows`;
  };

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));
  input.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter(); // A reload keeps what was typed.
})();
