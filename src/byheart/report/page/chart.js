// A chart of series over two axes, drawn as SVG to the width that there is.

const MARKS = [
  (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (x, y, r) => `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x},${y - 1.2 * r}l${1.15 * r},${2.1 * r}h${-2.3 * r}z`,
  (x, y, r) => `M${x},${y - 1.3 * r}l${1.3 * r},${1.3 * r}l${-1.3 * r},${1.3 * r}l${-1.3 * r},${-1.3 * r}z`,
];
const RADIUS = 4;
const SMALL_RADIUS = 2;
const MANY = 150;

/** A block of charts to choose from. */
function chartsBlock(block) {
  return figureOf(block.title, block.views, renderChart, "chart");
}

function renderChart(chart, host, label) {
  const legend = legendOf(chart);
  const place = make("div", {});
  host.append(...(legend ? [legend] : []), place);
  if (chart.note) host.append(make("p", { class: "note" }, visible(chart.note)));
  host.append(chartData(chart, label));
  onWidth(place, (width) => place.replaceChildren(pointable(...chartOf(chart, width), label)));
}

/** The SVG of a chart and the marks in it that can be pointed at. */
function chartOf(chart, width) {
  const height = Math.round(Math.min(Math.max(width * 0.5, 230), 400));
  const hasEndNames = chart.series.some((series) => series.is_named_at_end);
  const inner = { left: 52, right: width - (hasEndNames ? 48 : 14), top: 14, bottom: height - 46 };
  const points = chart.series.flatMap((series) => series.points);
  const x = scaleOf(chart.x, points.map((point) => point[0]), inner.left, inner.right);
  const y = scaleOf(chart.y, points.map((point) => point[1]), inner.bottom, inner.top);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, class: "plot" });
  svg.append(...axes(chart, x, y, inner, height));
  const marks = [];
  chart.series.forEach((series, index) => {
    svg.append(seriesGroup(series, index, x, y, inner));
    const isDrawn = series.look !== "line" || !series.is_named_at_end;
    if (!isDrawn) return;
    const own = series.points.filter((point) => Number.isFinite(x.place(point[0])) && Number.isFinite(y.place(point[1])));
    if (own.length) marks.push(own.map((point) => ({ x: x.place(point[0]), y: y.place(point[1]), point, series, chart })));
  });
  svg.append(...chart.rules.map((rule) => ruleOf(rule, x, y, inner)));
  return [svg, marks];
}

function axes(chart, x, y, inner, height) {
  const found = [];
  for (const tick of y.ticks) {
    const at = y.place(tick);
    found.push(draw("line", { class: "gridline", x1: inner.left, x2: inner.right, y1: at, y2: at }));
    found.push(draw("text", { x: inner.left - 8, y: at + 4, "text-anchor": "end" }, number(tick)));
  }
  for (const tick of x.ticks) {
    const at = x.place(tick);
    found.push(draw("line", { class: "baseline", x1: at, x2: at, y1: inner.bottom, y2: inner.bottom + 4 }));
    found.push(draw("text", { x: at, y: inner.bottom + 19, "text-anchor": "middle" }, number(tick)));
  }
  found.push(draw("line", { class: "baseline", x1: inner.left, x2: inner.right, y1: inner.bottom, y2: inner.bottom }));
  const middle = (inner.top + inner.bottom) / 2;
  found.push(draw("text", { class: "axis-name", x: (inner.left + inner.right) / 2, y: height - 8, "text-anchor": "middle" }, chart.x.label));
  found.push(draw("text", { class: "axis-name", x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, chart.y.label));
  return found;
}

function seriesGroup(series, index, x, y, inner) {
  const group = draw("g", inColour(series));
  const at = (point) => [x.place(point[0]), y.place(point[1])];
  if (series.look === "line") {
    const path = series.points.map((point, i) => `${i ? "L" : "M"}${at(point).map(fine).join(",")}`).join("");
    group.append(draw("path", { class: "line", d: path }));
    if (series.is_named_at_end && series.points.length) {
      const [left, top] = at(series.points[series.points.length - 1]);
      group.append(draw("text", { class: "end-name", x: left + 9, y: top + 4 }, series.name));
    }
  } else if (series.look === "bars") {
    for (const point of series.points) {
      if (!(point[1] > 0)) continue;
      const [left, right] = [x.place(point[0] - series.width / 2), x.place(point[0] + series.width / 2)];
      const top = y.place(point[1]);
      group.append(draw("rect", { class: "bars", x: left + 1, width: Math.max(right - left - 2, 1), y: top, height: Math.max(inner.bottom - top, 0) }));
    }
  } else {
    const mark = series.look === "ring" ? MARKS[0] : MARKS[(series.colour ?? 0) % MARKS.length];
    const radius = series.look === "ring" ? 7 : series.points.length > MANY ? SMALL_RADIUS : RADIUS;
    const path = series.points.map((point) => mark(...at(point).map(fine), radius)).join("");
    group.append(draw("path", { class: series.look, d: path }));
  }
  return group;
}

function ruleOf(rule, x, y, inner) {
  const [x1, x2] = rule.x === null ? [inner.left, inner.right] : [x.place(rule.x), x.place(rule.x)];
  const [y1, y2] = rule.y === null ? [inner.top, inner.bottom] : [y.place(rule.y), y.place(rule.y)];
  const atRight = x1 > inner.right - 40;
  const text = { x: rule.x === null ? inner.right : x1 + (atRight ? -5 : 5), y: rule.x === null ? y1 - 5 : inner.top + 9 };
  const anchor = rule.x === null || atRight ? "end" : "start";
  return draw("g", {}, draw("line", { class: "rule", x1, x2, y1, y2 }), draw("text", { ...text, "text-anchor": anchor }, rule.label));
}

/** Class and style that colour a series. */
function inColour(series) {
  if (series.shade !== null) return { class: "shaded", style: { "--shade": `${Math.round(100 * series.shade)}%` } };
  return { class: series.colour === null ? "colour-grey" : `colour-${series.colour % 6}` };
}

function legendOf(chart) {
  const named = chart.series.filter((series) => series.name && !series.is_named_at_end);
  if (named.length < 2) return null;
  return make(
    "ul",
    { class: "legend" },
    ...named.map((series) => {
      const mark = MARKS[(series.colour ?? 0) % MARKS.length];
      const shape = { line: ["line", "M0,6h24"], bars: ["bars", "M6,1h12v10h-12z"], ring: ["ring", MARKS[0](12, 6, 5)] }[series.look];
      const [look, path] = shape ?? [series.look, mark(12, 6, RADIUS)];
      return make("li", {}, draw("svg", { viewBox: "0 0 24 12", "aria-hidden": "true", ...inColour(series) }, draw("path", { class: look, d: path })), visible(series.name));
    }),
  );
}

/** A coordinate with as many digits as can be seen. */
function fine(value) {
  return Math.round(value * 10) / 10;
}
