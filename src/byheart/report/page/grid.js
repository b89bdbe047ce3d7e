// The probability grid: p by record and position, a cell a token, in the colours of the answers.

const WIDEST_CELL = 16;
const NARROWEST_CELL = 4;
const MOST_PIXELS = 8000;

/** The block, drawn from the answers of the page. */
function gridBlock(block, { records }) {
  const canvas = make("canvas", { tabindex: "0", role: "application", "aria-roledescription": "grid" });
  canvas.setAttribute("aria-label", `${block.title}: ${counted(records.length, "record")}; arrow keys go from token to token`);
  const scroller = make("div", { class: "scroller cells" }, canvas);
  let layout = null;
  let cursor = 0;

  const paint = () => {
    if (!layout) return;
    const style = getComputedStyle(document.documentElement);
    const context = canvas.getContext("2d");
    const colours = LEVELS.map((_, level) => resolved(style, `--level-${level}`, canvas));
    const surface = resolved(style, "--surface", canvas);
    context.setTransform(layout.density, 0, 0, layout.density, 0, 0);
    context.clearRect(0, 0, layout.width, layout.height);
    const gap = layout.cell > 6 ? 1 : 0;
    layout.places.forEach(({ record, index, x, y }) => {
      const level = levelOf(record, index);
      context.fillStyle = level === 0 ? surface : colours[level];
      context.fillRect(x, y, layout.cell - gap, layout.tall - gap);
    });
  };
  const show = (place) => {
    const anchor = () => {
      const box = canvas.getBoundingClientRect();
      return { left: box.left + place.x, top: box.top + place.y, bottom: box.top + place.y + layout.tall };
    };
    const [, rows] = tokenFacts(place.record, place.index, null);
    showTip(anchor, "", [["record", number(place.record.number + 1)], ...rows], canvas);
  };
  canvas.addEventListener("pointermove", (event) => {
    const place = placeAt(layout, event.offsetX, event.offsetY);
    if (place) show(place);
    else hideTip();
  });
  canvas.addEventListener("pointerleave", hideTip);
  canvas.addEventListener("blur", hideTip);
  canvas.addEventListener("keydown", (event) => {
    const { x, y } = layout.places[cursor];
    const across = (step) => layout.places.findIndex((place) => place.x === x && place.y === y + step * layout.tall);
    const moves = { ArrowRight: () => cursor + 1, ArrowLeft: () => cursor - 1, ArrowDown: () => across(1), ArrowUp: () => across(-1) };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const to = moves[event.key]();
    if (layout.places[to]) cursor = to;
    scroller.scrollTop = Math.max(layout.places[cursor].y - scroller.clientHeight / 2, 0);
    show(layout.places[cursor]);
  });
  onWidth(scroller, (width) => {
    layout = laidOut(records, width);
    cursor = 0;
    canvas.width = layout.width * layout.density;
    canvas.height = layout.height * layout.density;
    canvas.style.setProperty("width", `${layout.width}px`);
    canvas.style.setProperty("height", `${layout.height}px`);
    paint();
  });
  document.addEventListener("themechange", paint);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  const note = make("p", { class: "note" }, "A line a record, a cell a token, in the colours above. Long records go on on the next line.");
  return make("figure", {}, make("figcaption", {}, block.title), scroller, note);
}

/** Where each token goes: records below each other, wrapped where they are longer than the width. */
function laidOut(records, width) {
  const longest = Math.max(...records.map((record) => record.p.length));
  const cell = Math.max(Math.min(Math.floor(width / longest), WIDEST_CELL), NARROWEST_CELL);
  const columns = Math.max(Math.min(longest, Math.floor(width / cell)), 1);
  const numLines = records.reduce((sum, record) => sum + Math.ceil(record.p.length / columns), 0);
  const tall = Math.max(Math.min(cell, Math.floor(MOST_PIXELS / numLines)), 1);
  const places = [];
  let line = 0;
  for (const record of records) {
    record.p.forEach((_, index) => places.push({ record, index, x: (index % columns) * cell, y: (line + Math.floor(index / columns)) * tall }));
    line += Math.ceil(record.p.length / columns);
  }
  const height = numLines * tall;
  const density = Math.max(Math.min(window.devicePixelRatio || 1, 16000 / height), 1);
  return { cell, tall, columns, places, height, density, width: columns * cell };
}

function placeAt(layout, x, y) {
  const [left, top] = [Math.floor(x / layout.cell) * layout.cell, Math.floor(y / layout.tall) * layout.tall];
  return layout.places.find((place) => place.y === top && place.x === left);
}

/** A custom property's colour as the element would show it. */
function resolved(style, name, element) {
  element.style.setProperty("color", `var(${name})`);
  const colour = getComputedStyle(element).color;
  element.style.removeProperty("color");
  return colour;
}
