// Tables that can be sorted by any column and, where they are long, searched.

const ROWS_SHOWN = 25;
const ROWS_SEARCHED = 15;
const LONG_TEXT = 48;

/** A block of rows and columns. */
function tableBlock(block) {
  const numeric = block.columns.map((_, column) => block.rows.some((row) => typeof row[column] === "number"));
  let [sorted, isFalling, query, isWhole] = [null, false, "", false];
  const body = make("tbody");
  const status = make("p", { class: "note", role: "status" });
  const more = make("button", { type: "button", onclick: () => { isWhole = true; render(); } });
  const heads = block.columns.map((title, column) =>
    make("th", { scope: "col", class: numeric[column] ? "number" : null }, make("button", { type: "button", onclick: () => sort(column) }, visible(title))),
  );

  function sort(column) {
    isFalling = sorted === column && !isFalling;
    sorted = column;
    heads.forEach((head, index) => (index === column ? head.setAttribute("aria-sort", isFalling ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    render();
  }

  function render() {
    const words = query.toLowerCase();
    let rows = block.rows.filter((row) => !words || row.some((value) => shown(value).toLowerCase().includes(words)));
    if (sorted !== null) rows = [...rows].sort((a, b) => compared(a[sorted], b[sorted]) * (isFalling ? -1 : 1));
    const visibleRows = isWhole ? rows : rows.slice(0, ROWS_SHOWN);
    body.replaceChildren(...visibleRows.map((row) => tableRow(row, numeric)));
    more.textContent = `Show all ${number(rows.length)}`;
    more.hidden = visibleRows.length === rows.length;
    status.textContent = words ? `${number(rows.length)} of ${counted(block.rows.length, "row")}` : "";
  }

  render();
  const search = block.rows.length <= ROWS_SEARCHED ? null : make("input", { type: "search", placeholder: "Search", "aria-label": `Search in: ${block.title}`, oninput: (event) => { query = event.target.value; render(); } });
  const table = make("table", { class: "data" }, make("caption", { class: "hidden-text" }, block.title), make("thead", {}, make("tr", {}, heads)), body);
  const scroller = make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": block.title }, table);
  return make("figure", {}, make("div", { class: "picked" }, make("figcaption", {}, block.title), search), scroller, status, more, notesOf(block.notes));
}

/** Sentences below a table; none where there are none. */
function notesOf(notes) {
  return notes.length ? make("ul", { class: "note notes" }, notes.map((note) => make("li", {}, visible(note)))) : null;
}

/** A table that is only read. */
function plainTable(title, columns, rows) {
  const numeric = columns.map((_, column) => rows.some((row) => typeof row[column] === "number"));
  const heads = columns.map((name, column) => make("th", { scope: "col", class: numeric[column] ? "number" : null }, name));
  const table = make("table", { class: "data" }, make("caption", { class: "hidden-text" }, title), make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows.map((row) => tableRow(row, numeric))));
  return make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": title }, table);
}

function tableRow(row, numeric) {
  return make("tr", {}, row.map((value, column) => {
    const text = shown(value);
    return make("td", { class: text.length > LONG_TEXT ? "long" : numeric[column] ? "number" : null }, text);
  }));
}

/** Order of two values: what is not there comes last, numbers by size, texts as people sort them. */
function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
