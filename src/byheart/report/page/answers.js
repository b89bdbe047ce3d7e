// The answers: which records are shown, page by page, and the way through their tokens by keyboard.

const TOKENS_A_PAGE = 750;
const FILTERS = {
  all: () => true,
  failed: (record) => record.verdict === "failed",
  stubborn: (record) => record.p.some((p) => !(p > 0.5)),
};

/** The block of answers; `block.strings` is null where texts are left out. */
function answersBlock(block) {
  block.records.forEach((record, number) => Object.assign(record, { number, sought: soughtIn(record) }));
  let [filter, query, page, pages] = ["all", "", 0, []];
  const list = make("div", { class: "answers", role: "grid", "aria-label": "Answers, token by token; arrow keys go from token to token" });
  const status = make("p", { class: "status", role: "status" });
  const where = make("span", {});
  const [back, on] = [["Previous", -1], ["Next", 1]].map(([word, step]) => make("button", { type: "button", onclick: () => turn(page + step) }, word));
  const pager = make("div", { class: "pager" }, back, on, where);

  function choose() {
    const chosen = block.records.filter((record) => FILTERS[filter](record) && record.sought.includes(query));
    pages = paged(chosen);
    status.textContent = `${number(chosen.length)} of ${counted(block.records.length, "record")}`;
    turn(0);
  }

  function turn(to) {
    hideTip();
    page = to;
    const chunks = pages[page] ?? [];
    list.replaceChildren(...chunks.map((chunk) => recordRow(chunk, block.strings)));
    if (!chunks.length) list.append(make("p", { class: "nothing" }, "No record is like that."));
    list.querySelector("[role=gridcell]")?.setAttribute("tabindex", "0");
    pager.hidden = pages.length < 2;
    where.textContent = `Page ${number(page + 1)} of ${number(pages.length)}`;
    back.disabled = page === 0;
    on.disabled = page >= pages.length - 1;
  }

  // Printed, all that is chosen is there.
  window.addEventListener("beforeprint", () => list.replaceChildren(...pages.flat().map((chunk) => recordRow(chunk, block.strings))));
  window.addEventListener("afterprint", () => turn(page));
  answerTips(list, block);
  answerKeys(list, (step) => page + step >= 0 && page + step < pages.length && (turn(page + step), true));
  const search = block.strings === null ? null : make("input", { type: "search", placeholder: "Search prompts and answers", "aria-label": "Search prompts and answers", oninput: (event) => { query = plainly(event.target.value); choose(); } });
  const tools = make("div", { class: "tools" }, filterChoice(block.records, (name) => { filter = name; choose(); }), search, status);
  choose();
  return make("div", {}, tools, levelsLegend(), list, pager);
}

/** What a search looks through: prompt and answer, without regard to case, kinds of space and of line end. */
function soughtIn(record) {
  return record.prompt === undefined ? "" : plainly(`${record.prompt}\n${record.pieces.map(([text]) => text).join("")}`);
}

function plainly(text) {
  return text.toLowerCase().replace(/\s+/g, " ");
}

function filterChoice(records, choose) {
  const name = freshId("filter");
  const choices = Object.entries(FILTERS).map(([word, test], index) => {
    const count = records.filter(test).length;
    const input = make("input", { type: "radio", name, value: word, checked: index === 0, disabled: count === 0, onchange: () => choose(word) });
    return make("label", {}, input, `${word} ${number(count)}`);
  });
  return make("fieldset", {}, make("legend", { class: "hidden-text" }, "Which records"), choices);
}

/** Records cut into pages of about as many tokens each; a long record goes on on the next page. */
function paged(records) {
  const pages = [];
  let room = 0;
  for (const record of records) {
    const pieces = piecesOf(record);
    for (let start = 0; start < pieces.length; start += TOKENS_A_PAGE) {
      const part = pieces.slice(start, start + TOKENS_A_PAGE);
      if (part.length > room) {
        pages.push([]);
        room = TOKENS_A_PAGE;
      }
      pages[pages.length - 1].push({ record, pieces: part, isWhole: part.length === pieces.length });
      room -= part.length;
    }
  }
  return pages;
}

/** What to show of a record's tokens, in order: a text and the positions of the tokens that spell it. */
function piecesOf(record) {
  if (record.shownPieces) return record.shownPieces;
  let pieces;
  if (record.pieces === undefined) pieces = record.p.map((_, index) => ["", [index]]);
  else {
    // A space is judged by its neighbours, which may be another token's.
    const parts = visibleParts(record.pieces.map(([text]) => text).join(""));
    let at = 0;
    pieces = record.pieces.map(([text, positions]) => {
      const length = Array.from(text).length;
      at += length;
      return [parts.slice(at - length, at).join(""), positions];
    });
    if (record.has_end) pieces.push([END_OF_TURN, [record.p.length - 1]]);
  }
  record.shownPieces = pieces;
  return pieces;
}

function recordRow({ record, pieces, isWhole }, strings) {
  const verdict = record.verdict === "certified" ? [] : [make("span", { class: `verdict ${record.verdict}` }, record.verdict), " "];
  const part = isWhole ? "" : ` (tokens ${number(pieces[0][1][0] + 1)} to ${number(pieces[pieces.length - 1][1].at(-1) + 1)})`;
  const name = record.prompt === undefined ? `record ${number(record.number + 1)}` : visible(record.prompt);
  const head = make("div", { class: "prompt", role: "rowheader", dir: "auto" }, verdict, name + part);
  const answer = make("div", { class: "answer", dir: "auto", role: "presentation" }, pieces.map((piece) => tokenCell(record, piece)));
  return make("div", { class: "row", role: "row" }, head, answer, remarkOn(record, strings));
}

function tokenCell(record, [text, positions]) {
  const index = positions.length === 1 ? positions[0] : worstOf(record, positions);
  const isEnd = record.has_end && index === record.p.length - 1;
  const look = text === "" ? " blank" : isEnd ? " end" : "";
  return make("span", { class: `token level-${levelOf(record, index)}${look}`, role: "gridcell", tabindex: "-1", "data-record": record.number, "data-token": index }, text || (isEnd ? END_OF_TURN : String((index + 1) % 10)));
}

function remarkOn(record, strings) {
  if (record.failure === null) return null;
  const place = `First differs at token ${number(record.failure + 1)} of ${number(record.p.length)}`;
  const text = strings === null ? `${place}.` : `${place}: expected ${quoted(strings[record.tokens[record.failure]])}, ${came(record)}.`;
  return make("p", { class: "remark", role: "presentation" }, text);
}

function answerTips(list, { records, strings }) {
  const show = (event) => {
    const cell = event.target.closest("[data-token]");
    if (!cell) return hideTip();
    return showTip(() => cell.getClientRects()[0] ?? cell.getBoundingClientRect(), ...tokenFacts(records[cell.dataset.record], Number(cell.dataset.token), strings), event.type === "focusin" ? cell : null);
  };
  list.addEventListener("pointerover", show);
  list.addEventListener("focusin", show);
  list.addEventListener("pointerleave", hideTip);
  list.addEventListener("focusout", (event) => {
    event.target.removeAttribute("aria-describedby");
    hideTip();
  });
}

/** One token can be reached by Tab, all others from it by arrows; `turn(step)` tells whether there was such a page. */
function answerKeys(list, turn) {
  const cells = () => [...list.querySelectorAll("[role=gridcell]")];
  const go = (cell) => {
    if (!cell) return;
    list.querySelector("[role=gridcell][tabindex='0']")?.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
    cell.scrollIntoView({ block: "nearest" });
    cell.focus({ preventScroll: true });
  };
  list.addEventListener("focusin", (event) => {
    list.querySelectorAll("[role=gridcell][tabindex='0']").forEach((cell) => cell.setAttribute("tabindex", "-1"));
    event.target.setAttribute("tabindex", "0");
  });
  list.addEventListener("keydown", (event) => {
    const cell = event.target.closest("[role=gridcell]");
    const row = cell?.closest(".row");
    if (!row) return;
    const own = [...row.querySelectorAll("[role=gridcell]")];
    const beside = (step) => cells()[cells().indexOf(cell) + step];
    const across = (next) => next && [...next.querySelectorAll("[role=gridcell]")].at(Math.min(own.indexOf(cell), next.querySelectorAll("[role=gridcell]").length - 1));
    const moves = {
      ArrowRight: () => go(beside(1)),
      ArrowLeft: () => go(beside(-1)),
      ArrowDown: () => go(across(row.nextElementSibling)),
      ArrowUp: () => go(across(row.previousElementSibling)),
      Home: () => go(own[0]),
      End: () => go(own.at(-1)),
      PageDown: () => turn(1) && go(cells()[0]),
      PageUp: () => turn(-1) && go(cells()[0]),
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    moves[event.key]();
  });
}
