// The page itself: its head, its sections, the switch between light and dark.

const page = JSON.parse(document.getElementById("data").textContent);
const answersOfPage = page.sections.flatMap((section) => section.blocks).find((block) => block.kind === "answers");
const BLOCKS = {
  prose: proseBlock,
  facts: factsBlock,
  listing: listingBlock,
  figure: figureBlock,
  table: tableBlock,
  charts: chartsBlock,
  heatmaps: heatmapsBlock,
  answers: answersBlock,
  grid: (block) => gridBlock(block, answersOfPage),
};

const main = document.getElementById("main");
const links = page.sections.map((section, index) => {
  const id = `section-${index + 1}`;
  const heading = make("h2", { id: `${id}-title` }, visible(section.title));
  main.append(make("section", { id, "aria-labelledby": `${id}-title` }, heading, section.blocks.map((block) => BLOCKS[block.kind](block))));
  return make("a", { href: `#${id}` }, visible(section.title));
});
document.getElementById("contents").append(make("ul", {}, links.map((link) => make("li", {}, link))));
document.title = `${visible(page.title)} – byheart`;
document.getElementById("title").textContent = visible(page.title);
document.getElementById("sentence").textContent = visible(page.sentence);
document.getElementById("sentence").classList.toggle("good", page.is_good);

// Which section is being read.
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const link = links.find((each) => each.hash === `#${entry.target.id}`);
      if (entry.isIntersecting) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  },
  { rootMargin: "-20% 0px -75% 0px" },
);
main.querySelectorAll("section").forEach((section) => seen.observe(section));

const theme = document.getElementById("theme");
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => {
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
};
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  document.dispatchEvent(new Event("themechange"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
nameTheme();
