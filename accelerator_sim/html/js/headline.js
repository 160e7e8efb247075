// The numbers that come first.

function gapText(head) {
  if (head.lower_bound_s === null) { return ["none proven", "no lower bound was computed"]; }
  var bound = "bound " + seconds(head.lower_bound_s);
  if (head.gap === null) { return ["unknown", bound]; }
  return [head.gap < 0.0005 ? "under 0.1 %" : percent(head.gap), "above the proven " + bound];
}

function tile(key, label, value, sub) {
  return el("div", { class: "tile" }, [el("dt", { text: label }),
    el("dd", {}, [el("div", { class: "value", "data-number": key, text: value }), el("div", { class: "sub", text: sub || "" })])]);
}

function headline(main, one) {
  var head = one.headline, gap = gapText(head);
  var box = section(main, "summary", "Summary");
  box.append(el("p", { class: "verdict", text: one.verdict }));
  if (one.note) { box.append(el("p", { class: "note", text: one.note })); }
  var behind = head.best_known_s < head.latency_s * (1 - 1e-9);
  box.append(el("dl", { class: "tiles" }, [
    tile("latency_s", "Latency", seconds(head.latency_s), head.latency_s > 0 ? perSecond(1 / head.latency_s) : ""),
    tile("gap", "Proven gap", gap[0], gap[1]),
    tile("speedup_over_best_reference", "Speed-up over best reference",
      head.speedup_over_best_reference === null ? "none" : ratio(head.speedup_over_best_reference),
      head.best_reference || "no reference is feasible"),
    tile("speedup_over_native", "Speed-up over native",
      head.speedup_over_native === null ? "none" : ratio(head.speedup_over_native),
      head.speedup_over_native === null ? "native found nothing feasible" : "first fit in execution order"),
    head.gap_closed === null ? null : tile("gap_closed", "Gap closed", percent(head.gap_closed), "of best reference to bound"),
    tile("cold_latency_s", "First inference", seconds(head.cold_latency_s), "loading weights included"),
    tile("energy_j", "Energy", joules(head.energy_j), "of one inference"),
    head.power_w === null ? null : tile("power_w", "Power", digits(head.power_w) + " W", "energy over latency"),
    behind ? tile("best_known_s", "Best known", seconds(head.best_known_s),
      "this plan is " + percent(head.latency_s / head.best_known_s - 1) + " slower") : null
  ]));
}

function perSecond(rate) {
  return (rate >= 100 ? whole(Math.round(rate)) : digits(rate)) + " inferences a second";
}
