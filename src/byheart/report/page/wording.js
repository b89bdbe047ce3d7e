// Numbers and texts as people read them.

const PICTURES = { "\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡", "\u00a0": "⍽", "\u202f": "⍽", "\u2007": "⍽" };
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const JOINERS = new Set(["\u200c", "\u200d"]);
const EDGES = new Set([undefined, " ", "\t", "\n", "\r"]);
const END_OF_TURN = "∎";

/** A number: whole ones in full, others with four digits. */
function number(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** A table's or a fact's value. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? number(value) : visible(value);
}

/** A probability with as many digits as keep it on its side of one half. */
function probability(p) {
  if (p < 0.01) return String(Number(p.toPrecision(2)));
  for (let digits = 3; digits < 9; digits += 1) {
    if (Number(p.toFixed(digits)) > 0.5 === p > 0.5) return p.toFixed(digits);
  }
  return String(p);
}

/** A number with its sign. */
function signed(value) {
  return (value < 0 ? "−" : "+") + number(Math.abs(value));
}

/** A number and its noun. */
function counted(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** What to show for each character: what has no look of its own gets one, so that nothing hides or turns the line. */
function visibleParts(text) {
  const characters = Array.from(text);
  return characters.map((character, index) => {
    if (character === " ") return EDGES.has(characters[index - 1]) || EDGES.has(characters[index + 1]) ? "·" : " ";
    if (character === "\n") return "↵\n";
    return pictured(character);
  });
}

function pictured(character) {
  if (character in PICTURES) return PICTURES[character];
  if (JOINERS.has(character) || !HIDDEN.test(character)) return character;
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** A text with every character to be seen, its lines kept. */
function visible(text) {
  return Array.from(text, (character) => (character === "\n" ? "\n" : pictured(character))).join("");
}

/** A token's text between quotation marks, on one line. */
function quoted(text) {
  return `“${visibleParts(text).join("").replaceAll("\n", "")}”`;
}
