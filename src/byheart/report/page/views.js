// A figure with a caption and, where there is more than one view of it, a choice.

/** A figure; `render(view, host)` fills the host with the view that is chosen. */
function figureOf(title, views, render, className) {
  const names = Object.keys(views);
  const host = make("div", { class: className });
  const caption = make("figcaption", {}, title);
  const show = (name) => {
    hideTip();
    host.replaceChildren();
    render(views[name], host, names.length > 1 ? `${title}, ${name}` : title);
  };
  const picker =
    names.length < 2
      ? null
      : make(
          "select",
          { "aria-label": `Which view of: ${title}`, onchange: (event) => show(event.target.value) },
          ...names.map((name) => make("option", { value: name }, visible(name))),
        );
  const figure = make("figure", {}, make("div", { class: "picked" }, caption, picker), host);
  show(names[0]);
  return figure;
}

/** Calls back with an element's width, now that it is in the page and whenever that changes. */
function onWidth(element, callback) {
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.floor(entry.contentRect.width);
    if (width > 0 && width !== last) {
      last = width;
      callback(width);
    }
  }).observe(element);
}
