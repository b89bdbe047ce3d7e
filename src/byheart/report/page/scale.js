// From values to pixels: linear, logarithmic, and the logarithm of one more, which has a place for zero.

const FORMS = {
  linear: { to: (value) => value, from: (value) => value },
  log: { to: Math.log10, from: (value) => 10 ** value },
  log1p: { to: (value) => Math.log10(1 + value), from: (value) => 10 ** value - 1 },
};

/** A scale for an axis: `place(value)` in pixels and the `ticks` to mark. */
function scaleOf(axis, values, start, end) {
  const form = FORMS[axis.scale];
  const all = axis.scale === "log" ? values.filter((value) => value > 0) : values;
  let [low, high] = all.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], axis.ends ?? [Infinity, -Infinity]);
  if (!(low <= high)) [low, high] = [1, 2];
  if (low === high) [low, high] = axis.scale === "log" ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  const room = axis.ends ? 0 : 0.04 * (form.to(high) - form.to(low));
  let [from, to] = [form.to(low) - room, form.to(high) + (axis.ends && high === axis.ends[1] ? 0 : Math.max(room, 0.04 * (form.to(high) - form.to(low))))];
  const place = (value) => start + ((form.to(value) - from) / (to - from)) * (end - start);
  const ticks = (axis.ticks ?? ticksOf(axis, form.from(from), form.from(to))).filter((value) => {
    const at = form.to(value);
    return at >= from - 1e-9 && at <= to + 1e-9;
  });
  return { place, ticks: apart(ticks, place, Math.abs(end - start)), low: form.from(from) };
}

function ticksOf({ scale, is_count: isCount }, low, high) {
  if (scale === "linear") return roundTicks(low, high, isCount ? 1 : 0);
  if (scale === "log" && high < 10 * low) return roundTicks(low, high, isCount ? 1 : 0, 8); // powers of ten would leave it bare
  const [first, last] = [Math.floor(Math.log10(Math.max(low, 1e-12))), Math.ceil(Math.log10(scale === "log" ? high : Math.max(high, 1)))];
  const found = scale === "log1p" ? [0] : [];
  const steps = last - first > 3 ? [1] : [1, 2, 5];
  for (let power = scale === "log1p" ? 0 : first; power <= last; power += 1) {
    for (const step of steps) found.push(step * 10 ** power);
  }
  return found;
}

/** Round values, about as many as are wanted or half of that, none nearer to the next than `least`. */
function roundTicks(low, high, least, wanted = 5) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(power * ([1, 2, 5].find((each) => each * power >= rough) ?? 10), least);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index += 1) found.push(Number((index * step).toPrecision(12)));
  return found;
}

/** The ticks that have room for their labels. */
function apart(ticks, place, length) {
  const least = length > 300 ? 34 : 26;
  const kept = [];
  for (const tick of ticks) {
    if (!kept.length || Math.abs(place(tick) - place(kept[kept.length - 1])) >= least) kept.push(tick);
  }
  return kept;
}
