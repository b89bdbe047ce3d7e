// Heat maps: a table whose cells are coloured by what stands in them.

const CIVIDIS = [[0, 32, 77], [49, 68, 107], [102, 105, 112], [149, 143, 120], [202, 185, 105], [255, 234, 70]];

/** A block of heat maps to choose from. */
function heatmapsBlock(block) {
  return figureOf(block.title, block.views, renderHeatMap, "heat-map");
}

function renderHeatMap(map, host, label) {
  const head = make("tr", {}, make("th", { scope: "col" }, `${map.row_label} ↑  ${map.column_label} →`), ...map.columns.map((value) => make("th", { scope: "col" }, number(value))));
  const rows = map.rows
    .map((size, index) => make("tr", {}, make("th", { scope: "row" }, number(size)), ...map.values[index].map((value) => heatCell(map, value))))
    .reverse();
  const caption = make("caption", { class: "hidden-text" }, label);
  const table = make("table", { class: "heat" }, caption, make("thead", {}, head), make("tbody", {}, rows));
  host.append(make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": label }, table));
  if (map.bar !== null) host.append(make("p", { class: "note" }, `Underlined: ${map.bar_label}.`));
}

function heatCell(map, value) {
  if (value === null) return make("td", { class: "empty" }, make("span", { class: "hidden-text" }, "not measured"));
  const [dark, light] = map.ends;
  const colour = onScale(dark === light ? 1 : (value - dark) / (light - dark));
  const isBarred = map.bar !== null && value < map.bar;
  const style = { "background-color": `rgb(${colour.join(" ")})`, color: luminance(colour) > 0.18 ? "#000000" : "#ffffff" };
  return make("td", { class: isBarred ? "barred" : null, style }, value < 9.95 ? value.toFixed(2) : value.toFixed(1));
}

/** A colour from dark blue to light yellow, its lightness in proportion. */
function onScale(share) {
  const at = Math.min(Math.max(share, 0), 1) * (CIVIDIS.length - 1);
  const index = Math.min(Math.floor(at), CIVIDIS.length - 2);
  return CIVIDIS[index].map((value, channel) => Math.round(value + (at - index) * (CIVIDIS[index + 1][channel] - value)));
}

/** Relative luminance, as contrast is reckoned by. */
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => (value <= 10 ? value / 3294 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
