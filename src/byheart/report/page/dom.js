// Elements from names, attributes and children. Text goes in as text: nothing here, or anywhere, reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that are null, undefined or false are left out, `on…` are listeners. */
function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, as `make` makes others. */
function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Labels and values as a definition list's terms; values may be elements. */
function terms(rows) {
  return rows.flatMap(([label, value]) => [make("dt", {}, label), make("dd", {}, value)]);
}

let lastId = 0;
/** An id that no other element of the page has. */
function freshId(word) {
  lastId += 1;
  return `${word}-${lastId}`;
}
