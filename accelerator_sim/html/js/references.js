// The plan among the stated reference placements.

function references(main, one) {
  var head = one.headline, box = section(main, "references", "References",
    "Placements by stated algorithms without search. ideal has an unlimited innermost memory: a floor, not a placement.");
  var rows = Object.keys(one.references).map(function (name) {
    return { name: name, value: one.references[name], color: name === "ideal" ? "image" : "overhead" };
  });
  rows.push({ name: "this plan", value: head.latency_s, color: "mac" });
  rows.forEach(function (row) { row.text = seconds(row.value); });
  rows.sort(function (a, b) { return b.value - a.value || (a.name < b.name ? -1 : 1); });
  bars(box, "Latency of the references", rows,
    head.lower_bound_s === null ? {} : { line: [head.lower_bound_s, "proven bound " + seconds(head.lower_bound_s)] });
}
