// The accelerator: what each memory does, what is approximate, and where every number comes from.

function target(main, one) {
  var box = section(main, "target", "Target", one.description, true);
  var tiers = one.tiers;
  function col(label, key, show) {
    return { label: label, num: true, value: function (t) { return t[key]; }, show: function (t) { return show(t[key]); } };
  }
  table(box, "Memories", [
    { label: "Memory", value: function (t) { return t.name; }, show: function (t) { return [dot(boundColor(t.name, tiers)), t.name + (t.scope === "per-core" ? " (each core)" : "")]; } },
    col("Capacity", "capacity_bytes", bytes), col("Peak", "peak_bytes", bytes),
    { label: "Full", num: true, value: function (t) { return t.peak_bytes / t.capacity_bytes; }, show: function (t) { return percent(t.peak_bytes / t.capacity_bytes); } },
    col("Weights", "resident_weight_bytes", bytes), col("Activation peak", "peak_activation_bytes", bytes),
    col("Read", "read_bytes", bytes), col("Written", "written_bytes", bytes), col("Busy", "busy_fraction", percent),
    { label: "Bandwidth", num: true, value: function (t) { return t.read_bytes_per_s; }, show: function (t) { return number(t.read_bytes_per_s) + "B/s"; } }
  ], tiers, {});
  if (one.approximate.length) {
    box.append(el("h3", { text: "Approximate" }), el("ul", { class: "advice" }, one.approximate.map(function (line) { return el("li", { text: line }); })));
  }
  var details = el("details", {}, el("summary", { text: "Sources of all numbers" }));
  box.append(details);
  details.addEventListener("toggle", function () {
    if (!details.open || details.children.length > 1) { return; }
    table(details, "Sources", [
      { label: "Number", value: function (row) { return row[0]; }, show: function (row) { return row[0]; } },
      { label: "Value (SI)", num: true, value: function (row) { return row[1]; }, show: function (row) { return String(row[1]); } },
      { label: "", value: function (row) { return row[3] ? 1 : 0; }, show: function (row) { return row[3] ? "assumed" : "published"; } },
      { label: "Source or reason", wrap: true, value: function (row) { return row[2]; }, show: function (row) { return row[2]; } }
    ], one.sources, { search: function (row) { return row[0] + " " + row[2]; }, tall: true,
      filters: [{ label: "Origin", value: function (row) { return row[3] ? "assumed" : "published"; } }] });
  });
}
