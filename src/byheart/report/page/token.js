// One token: how it looks, and what there is to say of it.

const LEVELS = ["p > 0.99", "p > 0.9", "p > 0.7", "p > 0.5", "p ≤ 0.5, stubborn", "not the most probable"];

/** 0 where the model is sure to 5 where another token wins; lists by token are the record's. */
function levelOf(record, index) {
  if (record.rank[index] > 1) return 5;
  const p = record.p[index];
  if (!(p > 0.5)) return 4;
  return p > 0.99 ? 0 : p > 0.9 ? 1 : p > 0.7 ? 2 : 3;
}

/** Of several tokens that spell one character, the one that is least known. */
function worstOf(record, positions) {
  return positions.reduce((worst, index) => {
    const [a, b] = [levelOf(record, index), levelOf(record, worst)];
    return a > b || (a === b && record.p[index] < record.p[worst]) ? index : worst;
  });
}

/** What the tooltip says of a token, as heading and labelled rows. */
function tokenFacts(record, index, strings) {
  const isEnd = record.has_end && index === record.p.length - 1;
  const text = strings === null ? "" : isEnd ? `${END_OF_TURN} end of turn` : quoted(strings[record.tokens[index]]);
  const isBeaten = record.rank[index] > 1;
  const rows = [
    ["token", `${number(index + 1)} of ${number(record.p.length)}`],
    ["p", probability(record.p[index]) + (record.p[index] > 0.5 ? "" : ", stubborn")],
    ["margin", `${signed(record.margin[index])} nats`],
    ["rank", number(record.rank[index])],
  ];
  if (strings !== null) rows.push([isBeaten ? "beaten by" : "next", quoted(strings[record.rivals[index]])]);
  if (record.failure === index) rows.push(["free run", strings === null ? "first differs here" : `first differs here: ${came(record)}`]);
  return [text || (isEnd ? `${END_OF_TURN} end of turn` : ""), rows];
}

/** What a free run gave in place of the answer's token. */
function came(record) {
  return record.got ? `gave ${quoted(record.got)}` : "the answer ended";
}

/** The looks and their meaning. */
function levelsLegend() {
  return make("ul", { class: "levels", "aria-label": "What the looks of tokens mean" }, LEVELS.map((words, level) => make("li", {}, make("span", { class: `token level-${level}` }, words))));
}
