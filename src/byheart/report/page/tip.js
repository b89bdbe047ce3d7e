// The one tooltip: beside what is pointed at or has the focus, within the window, gone with Escape.

const tip = document.getElementById("tip");
const TIP_GAP = 8;
let tipAnchor = null;

/** Shows a heading and labelled rows beside `anchor()`, a rectangle of the window; `owner` is described by them. */
function showTip(anchor, heading, rows, owner = null) {
  tip.replaceChildren(heading ? make("strong", {}, heading) : "", make("dl", {}, ...terms(rows)));
  tip.hidden = false;
  tipAnchor = anchor;
  placeTip();
  if (owner) owner.setAttribute("aria-describedby", "tip");
}

function placeTip() {
  if (tip.hidden) return;
  const { left, top, bottom } = tipAnchor();
  const { width, height } = tip.getBoundingClientRect();
  const most = Math.max(window.innerWidth - width - TIP_GAP, TIP_GAP);
  const below = bottom + TIP_GAP;
  const isBelow = below + height <= window.innerHeight;
  tip.style.setProperty("left", `${Math.min(Math.max(left, TIP_GAP), most)}px`);
  tip.style.setProperty("top", `${isBelow ? below : Math.max(top - height - TIP_GAP, TIP_GAP)}px`);
}

function hideTip() {
  tip.hidden = true;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
document.addEventListener("scroll", placeTip, { capture: true, passive: true });
window.addEventListener("resize", hideTip);
