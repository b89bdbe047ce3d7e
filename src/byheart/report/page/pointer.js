// Pointing at a chart's marks, by mouse, touch or keyboard; and the same numbers as a table.

const MOST_ROWS = 2000;

/** A chart's SVG that answers to mouse and keys. `marks` holds one list for each series. */
function pointable(svg, marks, label) {
  const cursor = draw("circle", { class: "cursor", r: 7, visibility: "hidden" });
  svg.append(cursor);
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-roledescription", "chart");
  svg.setAttribute("aria-label", `${label}. ${number(marks.length)} series; arrow keys go from mark to mark.`);
  let [series, index] = [0, 0];

  const show = (mark) => {
    cursor.setAttribute("cx", mark.x);
    cursor.setAttribute("cy", mark.y);
    cursor.setAttribute("visibility", "visible");
    const anchor = () => {
      const box = svg.getBoundingClientRect();
      const scale = box.width / svg.viewBox.baseVal.width;
      const [left, top] = [box.left + mark.x * scale, box.top + mark.y * scale];
      return { left: left + 10, top: top - 10, bottom: top + 10 };
    };
    showTip(anchor, markName(mark), markRows(mark), svg);
  };
  const leave = () => {
    cursor.setAttribute("visibility", "hidden");
    hideTip();
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const found = nearest(marks, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    if (found) {
      [series, index] = found;
      show(marks[series][index]);
    } else leave();
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("focus", () => {
    if (marks.length && svg.matches(":focus-visible")) show(marks[series][index]);
  });
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -Infinity], End: [0, Infinity] };
    if (!(event.key in steps) || !marks.length) return;
    event.preventDefault();
    const [across, along] = steps[event.key];
    series = (series + across + marks.length) % marks.length;
    index = Math.min(Math.max(index + along, 0), marks[series].length - 1);
    show(marks[series][index]);
  });
  return svg;
}

/** Series and index of the mark that is pointed at; null where none is near. Bars answer to their whole column. */
function nearest(marks, x, y) {
  let [best, found] = [30 ** 2, null];
  marks.forEach((list, series) =>
    list.forEach((mark, index) => {
      const isColumn = mark.series.look === "bars";
      const distance = (mark.x - x) ** 2 + (isColumn ? 0 : (mark.y - y) ** 2);
      // Of marks on one spot the later is on top: points over their line.
      if (distance <= best) [best, found] = [distance, [series, index]];
    }),
  );
  return found;
}

function markName(mark) {
  return visible(mark.series.name);
}

function markRows(mark) {
  const [x, y, note] = mark.point;
  const rows = [
    [mark.chart.x.label, number(x)],
    [mark.chart.y.label, number(y)],
  ];
  return note ? [...(mark.series.look === "bars" ? rows.slice(1) : rows), ["", visible(note)]] : rows;
}

/** The numbers of a chart, for those who do not see it; made when it is opened. */
function chartData(chart, label) {
  const details = make("details", {}, make("summary", {}, "The numbers as a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const all = chart.series.flatMap((series) => series.points.map((point) => [visible(series.name), point[0], point[1], visible(point[2] ?? "").replaceAll("\n", "; ")]));
    const columns = ["series", chart.x.label, chart.y.label, "of it"];
    details.append(plainTable(`${label}, in numbers`, columns, all.slice(0, MOST_ROWS)));
    if (all.length > MOST_ROWS) details.append(make("p", { class: "note" }, `The first ${number(MOST_ROWS)} of ${number(all.length)} rows.`));
  });
  return details;
}
