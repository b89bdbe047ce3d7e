// Blocks without any behaviour: paragraphs, facts, listings, pictures.

function proseBlock(block) {
  return make("p", {}, visible(block.text));
}

function factsBlock(block) {
  const rows = block.rows.map(([label, value]) => make("div", {}, ...terms([[visible(label), shown(value)]])));
  return make("dl", { class: block.is_headline ? "headline" : "facts" }, ...rows);
}

function listingBlock(block) {
  return make("figure", { class: "listing" }, make("figcaption", {}, block.title), make("pre", { tabindex: "0" }, visible(block.text)));
}

function figureBlock(block) {
  const picture = make("img", { src: block.source, alt: visible(block.description) });
  const scroller = make("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": visible(block.title) }, picture);
  return make("figure", { class: "picture" }, make("figcaption", {}, visible(block.title)), scroller);
}
