// A row per op.

function ops(main, one) {
  var data = one.ops, tiers = one.tiers, total = one.headline.latency_s;
  var box = section(main, "ops", "Ops", "Sort by any column; the bound is what the op is as long as.", true);
  if (data.total > data.index.length) {
    box.append(el("p", { class: "note", text: "The " + whole(data.index.length) + " slowest of " + whole(data.total)
      + " ops; the others take " + seconds(data.rest_s) + " together." }));
  }
  var rows = data.index.map(function (index, i) { return i; });
  var slowest = Math.max.apply(null, data.duration_s.concat([1e-30]));
  function col(label, key, show) {
    return { label: label, num: true, value: function (i) { return data[key][i]; }, show: function (i) { return show(data[key][i]); } };
  }
  function text(label, key) {
    return { label: label, value: function (i) { return data[key][i]; }, show: function (i) { return data[key][i]; } };
  }
  var columns = [
    col("#", "index", String),
    { label: "Op", value: function (i) { return data.name[i]; }, show: function (i) { return nameOf(data.name[i]); } },
    text("Family", "family"),
    { label: "Bound", value: function (i) { return data.bound[i]; },
      show: function (i) { return [dot(boundColor(data.bound[i], tiers)), boundName(data.bound[i])]; } },
    { label: "Duration", num: true, value: function (i) { return data.duration_s[i]; }, show: function (i) {
      var bar = el("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = Math.max(1, 60 * data.duration_s[i] / slowest) + "px";
      bar.style.background = "var(--" + boundColor(data.bound[i], tiers) + ")";
      return [bar, seconds(data.duration_s[i])];
    } },
    { label: "Share", num: true, value: function (i) { return data.duration_s[i]; }, show: function (i) { return percent(data.duration_s[i] / total); } },
    col("Utilisation", "utilization", percent),
    col("Stall", "stall_s", function (value) { return value > NOISE_S ? seconds(value) : ""; }),
    { label: "Waits for", value: function (i) { return data.stall_tensor[i]; }, show: function (i) { return data.stall_s[i] > NOISE_S ? nameOf(data.stall_tensor[i]) : ""; } },
    col("MACs", "macs", function (value) { return value > 0 ? number(value) : ""; })
  ].concat(tiers.map(function (tier, k) {
    return { label: tier.name, num: true, value: function (i) { return data.bytes[i][k]; },
      show: function (i) { return data.bytes[i][k] > 0 ? bytes(data.bytes[i][k]) : ""; } };
  }), [
    text("Split", "split"), text("Loop order", "order"),
    { label: "Homes of its tensors", value: function (i) { return data.homes[i].join(", "); }, show: function (i) { return data.homes[i].join(", "); } },
    col("Starts", "start_s", seconds), col("Fill", "fill_s", seconds)
  ]);
  table(box, "Ops", columns, rows, {
    search: function (i) { return data.name[i] + " " + data.stall_tensor[i]; }, sort: [4, true], tall: true,
    filters: [{ label: "Family", value: function (i) { return data.family[i]; } },
      { label: "Bound", value: function (i) { return boundName(data.bound[i]); } }]
  });
}
